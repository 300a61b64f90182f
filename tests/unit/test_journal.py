"""The journal: what is there after a kill, a full disk, a second writer, other settings."""

import contextlib
import errno
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from arena.journals.compact import check, compact
from arena.journals.journal import Journal, Record, read_records
from arena.journals.lock import Lock
from arena.support.errors import JournalError

from tests.served import run_script
from tests.synthetic import journal_line

KEYS = "digest uid game state label answer finish_reason usage attempts seconds time reason"


def record(digest="d1", state="ok", attempts=1, **changes) -> Record:
    plain = json.loads(journal_line(1, 0, state=state, attempts=attempts))
    return Record(**plain | {"digest": digest, "answer": "so [[A>B]]"} | changes)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "games" / "model.jsonl"


def fill(path: Path, *records: Record) -> None:
    with Journal(path) as journal:
        for one in records:
            journal.append(one)


def digests(path: Path) -> list[str]:
    return [one.digest for one in read_records(path)]


def test_a_line_has_the_keys_of_formats_in_their_order(path):
    fill(path, record(answer="ä\n\u2028[[A>B]]"))
    (line,) = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert " ".join(json.loads(line)) == KEYS
    assert "ä" in line
    assert next(read_records(path)) == record(answer="ä\n\u2028[[A>B]]")


def test_replay_keeps_the_last_line_of_each_digest_asked_for(path):
    fill(path, record(state="unparsed"), record("d2"), record(attempts=2), record("foreign"))
    with Journal(path, {"d1", "d2"}) as journal:
        assert set(journal.records) == {"d1", "d2"}
        assert journal.records["d1"].attempts == 2
        assert journal.asked == {"d1": 2, "d2": 1}
    assert digests(path) == ["d1", "d2", "d1", "foreign"]


@pytest.mark.parametrize(
    ("cut", "kept"),
    [(1, ["d1", "d2"]), *((cut, ["d1"]) for cut in (2, 3, 41, 151)), (None, [])],
)
def test_a_torn_tail_is_dropped_and_the_next_line_is_whole(path, cut, kept):
    """One that lacks but its newline is kept; None: the file is nothing but a torn line."""
    fill(path, record("d1"), record("d2", answer="ünïcödé"))
    path.write_bytes(path.read_bytes()[:-cut] if cut else b'{"digest": "d' + b"x" * 200_000)
    with Journal(path) as journal:
        assert journal.torn is (kept != ["d1", "d2"])
        assert list(journal.records) == kept
        journal.append(record("d3"))
    assert digests(path) == [*kept, "d3"]
    assert check(path)[1] and len(check(path)[0]) == 1


@pytest.mark.parametrize(
    "line",
    [b"\0" * 80, b"<<<<<<< HEAD", b"[]", b"\xff\xfe", b'{"digest": "d1"}', b'{"state": "won"}'],
)
def test_a_bad_line_in_the_middle_costs_itself_only(path, line):
    fill(path, record("d1"), record("d2"))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + b"\n" + second)
    with Journal(path) as journal:
        assert set(journal.records) == {"d1", "d2"}
    assert f"{path}:2:" in check(path)[0][1] and not check(path)[1]


@pytest.mark.parametrize(
    ("changed", "read"),
    [
        ({"attempts": 10**400}, {"attempts": 0}),
        ({"seconds": "1"}, {"seconds": 0.0}),
        ({"usage": None}, {"usage": {"prompt": 0, "cached": 0, "completion": 0}}),
        (
            {"usage": {"prompt": 10**400, "cached": None, "completion": 2}},
            {"usage": {"prompt": 0, "cached": 0, "completion": 2}},
        ),
        ({"answer": "\ud800"}, {"answer": "\ufffd"}),
        ({"answer": ["so [[A>B]]"]}, None),
        ({"time": None}, None),
        ({"state": "won"}, None),
        ({"game": 2}, None),
    ],
)
def test_odd_values_cost_no_more_than_their_line(path, changed, read):
    fill(path, record())
    path.write_text(json.dumps(json.loads(path.read_text()) | changed) + "\n")
    with Journal(path) as journal:
        found = list(journal.records.values())
        assert found == ([] if read is None else [record(**read)])
    assert check(path)[1] == (read is not None)


def test_a_second_writer_is_noticed_before_anything_is_written(path):
    with Journal(path) as first:
        first.append(record("d1"))
        with Journal(path) as second:
            second.append(record("d2"))
        with pytest.raises(JournalError, match="another process writes this journal too"):
            first.append(record("d3"))
        assert digests(path) == ["d1", "d2"]
        path.unlink()  # every line after that would go to a file that nobody can find
        with pytest.raises(JournalError, match="deleted while it was written"):
            first.append(record("d3"))


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: EFBIG, the way a full disk is ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_a_whole_file_and_says_so(path):
    fill(path, record("d1"))
    before = path.read_bytes()
    full = pytest.raises(JournalError, match=r"model\.jsonl: cannot write to the journal")
    with limited(len(before) + 50), full, Journal(path) as journal:  # half a line fits
        journal.append(record("d9"))
    assert path.read_bytes() == before
    with limited(len(before) + 1000):
        fill(path, record("d9"))
    assert digests(path) == ["d1", "d9"]


def test_a_disk_that_is_gone_is_named_by_its_first_error(path, monkeypatch):
    """Not even the half line can be cut off, nor what was written be put on disk."""

    def gone(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    journal = Journal(path)
    for broken in ("write", "ftruncate", "fsync"):
        monkeypatch.setattr(os, broken, gone)
    with pytest.raises(JournalError, match="cannot write to the journal: Read-only"), journal:
        journal.append(record())
    monkeypatch.undo()
    for broken in ("fsync", "close"):
        journal = Journal(path)
        with monkeypatch.context() as patch, pytest.raises(JournalError, match="to disk: Read"):
            patch.setattr(os, broken, gone)
            journal.close()
    path.write_text('{"digest": "d1"')
    monkeypatch.setattr(os, "ftruncate", gone)
    with pytest.raises(JournalError, match="cannot open the journal: Read-only"):
        Journal(path)


def test_check_counts_states_calls_and_replaced_lines(path):
    fill(
        path,
        record("d1", state="unparsed"),
        record("d1", attempts=2),
        record("d2", state="too_long", attempts=3),
        record("d3", attempts=0),
    )
    head = f"{path}: 3 games (ok 2, too_long 1), 5 calls, 1 adopted, 1 lines replaced by later ones"
    assert check(path) == ([head], True)


@pytest.mark.parametrize(
    ("lines", "reopen", "kept"),
    [
        ([record(state="unparsed"), record(attempts=2), record("d2")], [], [2, 1]),
        # Their number says how often it was asked.
        ([record(state="unparsed"), record(state="truncated", attempts=2)], [], [1, 2]),
        ([record("d1", state="too_long"), record("d2", attempts=3)], ["too_long"], [3]),
    ],
)
def test_compact_drops_what_no_reader_needs(path, lines, reopen, kept):
    """kept: attempts of the lines that are left."""
    fill(path, *lines)
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    said, dropped = compact(path, reopen=reopen), len(lines) - len(kept)
    assert said.startswith(f"{path}: {dropped} of {len(lines)} lines dropped, {len(reopen)} games")
    assert said.endswith("1 unreadable lines dropped")
    assert [one.attempts for one in read_records(path)] == kept
    assert not path.with_name("model.jsonl.lock").exists()


@pytest.mark.parametrize(
    ("states", "journal", "moved"),
    [
        (("ok", "too_long"), "too_long", True),
        (("ok", "ok"), "ok", False),
        (("ok", "too_long"), "ok", True),  # reopened before, for another baseline's file
        (("ok", "ok"), "too_long", True),  # as another baseline's: cheap, it is made again
        ((None, None), "too_long", False),  # of others: theirs stay
    ],
)
def test_reopen_moves_the_judgments_aside_that_would_keep_games_from_being_asked(
    path, tmp_path, states, journal, moved
):
    fill(path, record("d1", state=journal), record("d2"))
    games = [{"score": "A>B"} | ({"state": state} if state else {}) for state in states]
    judgment = tmp_path / "judgments" / "model.jsonl"
    judgment.parent.mkdir()
    judgment.write_text(json.dumps({"uid": "q1", "games": games}) + "\n")
    before = judgment.read_bytes()
    said = compact(path, reopen=["too_long"], judgments=judgment.parent)
    assert judgment.exists() is not moved
    aside = list(tmp_path.glob("reopened/model.reopened-*.jsonl"))
    assert [file.read_bytes() for file in aside] == [before] * moved
    assert said.endswith(
        f"its judgments moved to {aside[0]}" if moved else "unreadable lines dropped"
    )


def test_reopen_without_the_right_config_changes_nothing(path, project):
    """Where the judgments lie, only the config says: without it the next run would ask nothing."""
    fill(path, record("d1", state="too_long"))
    before = path.read_bytes()
    done = run_script("journal.py", "compact", path, "--reopen", "too_long", cwd=project)
    assert done.returncode == 1
    assert "its results are in results/arena-demo/demo-judge, not in" in done.stderr
    assert path.read_bytes() == before


def test_compact_leaves_a_journal_in_use_alone(path):
    fill(path, record("d1"), record("d1", attempts=2))
    before = path.read_bytes()
    with Lock(path) as lock:
        lock.acquire()
        with pytest.raises(JournalError, match="is using this journal"):
            compact(path)
    assert path.read_bytes() == before


def test_the_command_checks_a_folder_and_fails_on_a_bad_line(path):
    fill(path, record("d1"))
    good = run_script("journal.py", "check", path.parents[1])
    assert (good.returncode, good.stdout) == (0, f"{path}: 1 games (ok 1), 1 calls\n")
    path.write_bytes(path.read_bytes() + b"[]\n")
    bad = run_script("journal.py", "check", path.parents[1])
    assert bad.returncode == 1
    assert f"{path}:2: not a JSON object" in bad.stdout
