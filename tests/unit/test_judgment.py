"""Publishing what a batch has made, also where NFS shows it late."""

import threading

import pytest
from arena.batch import made
from arena.batch.made import Made
from arena.data.layout import Layout
from arena.support.errors import OpenGames

from tests.served import eventually

LINES = '{"uid": "q1"}\n'


def make(layout: Layout) -> None:
    layout.made("m").parent.mkdir()
    layout.made("m").write_text(LINES)
    Made("settings", {}, len(LINES), "run").write(layout.made_record("m"))


@pytest.fixture
def layout(tmp_path) -> Layout:
    layout = Layout(tmp_path)
    layout.played("0a1b2c3d").parent.mkdir()
    return layout


def test_what_the_batch_says_it_has_made_is_waited_for(layout, tmp_path, capsys):
    layout.played("0a1b2c3d").write_text("k\nm\n")
    asked = threading.Thread(
        target=made.publish, args=(layout, "m", "settings", "0a1b2c3d", tmp_path / "m.jsonl")
    )
    asked.start()
    eventually(lambda: "waiting" in capsys.readouterr().err or not asked.is_alive())
    make(layout)
    asked.join()
    assert (tmp_path / "m.jsonl").read_text() == LINES


def test_what_was_not_made_is_not_waited_for(layout, tmp_path, monkeypatch):
    """Or was made with other settings."""
    monkeypatch.setattr(made.time, "sleep", lambda _: pytest.fail("waits"))
    layout.played("0a1b2c3d").write_text("k\n")
    with pytest.raises(OpenGames):
        made.publish(layout, "m", "settings", "0a1b2c3d", tmp_path / "m.jsonl")
    make(layout)
    with pytest.raises(OpenGames):
        made.publish(layout, "m", "other settings", "0a1b2c3d", tmp_path / "m.jsonl")


def test_a_copy_to_a_full_disk_leaves_no_part_of_it(layout, tmp_path, monkeypatch):
    def copy(_, target):
        target.write_text(LINES[:3])
        raise OSError("no room")

    monkeypatch.setattr(made.os, "link", copy)
    monkeypatch.setattr(made.shutil, "copyfile", copy)
    with pytest.raises(OSError, match="no room"):
        made.link(tmp_path / "made", tmp_path / "judgments" / "m.jsonl")
    assert not list((tmp_path / "judgments").iterdir())
