"""What a run says while it goes on, from records alone and by a clock of the test's."""

from pathlib import Path
from typing import Any

import pytest
from arena.campaign.screen import RunWatch
from arena.data.layout import Layout
from arena.journals.batches import Attempt
from arena.journals.records import ModelStatus, Status, Stop, StopKind, encode, write_json

RUN, GAMES = "now", {"aaaa": 200, "bbbb": 100}
START = 1_000_000.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def record(layout: Layout, batch: str, run: str = RUN, start: float = START, **known: Any) -> None:
    attempt = Attempt(batch, run, node="n1", start=start, **known)
    write_json(layout.attempts(batch), encode(attempt))


def played(layout: Layout, batch: str, now: float, **games: int) -> None:
    models = {model: ModelStatus(100, {"ok": number}) for model, number in games.items()}
    Status(now, "ready", models).write(layout.status(batch))


def test_a_line_for_each_thing_once(layout: Layout) -> None:
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES)
    assert watch.look(START) == []
    record(layout, "aaaa", "of a former run", ready=START)
    assert watch.look(START) == []
    record(layout, "aaaa", job="7")
    (line,) = watch.look(START)
    assert "aaaa" in line and "n1" in line and "7" in line
    record(layout, "aaaa", ready=START + 180)
    assert "3 min" in watch.look(START + 180)[0]
    record(layout, "aaaa", ready=START + 180, end=START + 600)
    assert ["aaaa" in line for line in watch.look(START + 600)] == [True]
    assert watch.look(START + 601) == []


def test_a_line_a_minute_while_it_plays(layout: Layout) -> None:
    """The games of a former run are played, and tell nothing of the speed."""
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES, {"aaaa": 30})
    assert watch.look(START) == []
    record(layout, "aaaa", ready=START)
    played(layout, "aaaa", START, a=30)
    lines = watch.look(START)[2:]
    for second in range(1, 121):
        played(layout, "aaaa", START + second, a=30, b=second // 2)
        lines += watch.look(START + second)
    first, second = lines
    assert first.startswith("60 of 300 games") and second.startswith("90 of 300 games")
    for line in lines:
        assert "0.5 games/s" in line and "1 running" in line and "1 waiting" in line
    assert "7 min left" in second  # 210 games
    drawn: list[float] = []
    quiet = RunWatch(
        dict.fromkeys(GAMES, layout), RUN, GAMES, draw=lambda part, _: drawn.append(part)
    )
    assert [quiet.look(START + second) for second in range(0, 200, 10)][1:] == [[]] * 19
    assert drawn == pytest.approx([0.3] * 20)


def test_a_retry_still_counts_the_models_that_are_made(layout: Layout) -> None:
    watch = RunWatch({"aaaa": layout}, RUN, {"aaaa": 200})
    for start, games in ((0, {"a": 100, "b": 50}), (10, {"b": 60})):
        record(layout, "aaaa", start=START + start, ready=START + start)
        played(layout, "aaaa", START + start + 5, **games)
        watch.look(START + start + 5)
    assert watch.progress().startswith("160 of 200")


def test_a_cause_is_printed_once(layout: Layout) -> None:
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES)
    stop = Stop(StopKind.JUDGE_START, "no weights\nand the end of a log")
    for batch in GAMES:
        record(
            layout, batch, end=START + 1, kind=stop.kind, cause=stop.text, log=f"{batch}/server.log"
        )
    lines = [line for line in watch.look(START) if "failed" in line]
    assert len(lines) == 2 and "aaaa" in lines[1], "the second names the first"
    assert [line.count("no weights") for line in lines] == [1, 0]
    assert "and the end" not in "".join(lines)
    assert watch.failure("aaaa", "SLURM status is: 'FAILED'") is None
    assert "'TIMEOUT'" in (watch.failure("aaaa", "SLURM status is: 'TIMEOUT'") or "")


def test_a_file_is_read_only_when_it_has_changed(layout, monkeypatch):
    import arena.campaign.screen as module

    reads: list[Path] = []
    real = module.read_attempts
    monkeypatch.setattr(module, "read_attempts", lambda path: reads.append(path) or real(path))
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES)
    record(layout, "aaaa")
    for second in range(50):
        watch.look(START + second)
    assert len(reads) == 1
