"""Journals read while they are written: counts, torn tails, replaced files, reading backwards."""

import errno
import json
from pathlib import Path

from arena.journals.progress import Progress, Tally

from tests.synthetic import T0, journal_line, write_journal


def tally(folder: Path, lines: list[str], *counts) -> Tally:
    return Tally(Progress(write_journal(folder, "m", lines)).update().lines, *counts)


def test_counts_states_pairs_and_tokens(tmp_path):
    lines = [
        journal_line(1, 0),
        journal_line(1, 1, state="unparsed", attempts=3),
        journal_line(2, 0, state="too_long", usage=(7, 0, 0)),
    ]
    found = tally(tmp_path, lines)
    assert found.states == {"ok": 1, "unparsed": 1, "too_long": 1}
    assert (found.played, found.questions, found.retries) == (3, 1, 2)
    assert found.usage == (207, 80, 40)
    found = tally(tmp_path, [journal_line(1, game, attempts=0) for game in (0, 1)])  # taken over
    assert (found.questions, found.usage, found.last_end) == (1, (0, 0, 0), None)


def test_a_game_asked_again_counts_once_and_its_calls_all(tmp_path):
    lines = [
        journal_line(1, 0, state="unparsed", attempts=3),  # two calls failed before
        journal_line(1, 0, attempts=4),  # asked again for want of a verdict: attempts go on
    ]
    found = tally(tmp_path, lines)
    assert (found.played, found.states["ok"], found.states["unparsed"]) == (1, 1, 0)
    assert (found.usage, found.retries) == ((200, 80, 40), 2)
    # Lines of other settings only tell what calls were made before.
    found = tally(tmp_path, lines, lambda line: line.attempts == 4)
    assert (found.played, found.usage, found.retries) == (1, (100, 40, 20), 0)


def test_a_line_is_read_when_its_newline_is_there(tmp_path):
    line = journal_line(1, 1)
    path = write_journal(tmp_path, "m", [journal_line(1, 0), line[:100]])
    journal = Progress(path).update()
    assert (len(journal.lines), journal.unreadable) == (1, 0)
    with path.open("a") as file:
        file.write(line[100:])
    assert [read.game for read in journal.update().lines] == [0, 1]
    assert journal.unreadable == 0


def test_unreadable_lines_are_counted_and_blank_ones_are_not(tmp_path):
    """Numbers that nobody can add up are unreadable; none at all are 0."""
    lines = ["\n", "{]\n", '{"uid": "q"}\n', "\xff\n", journal_line(1, 0)]
    odd = ({"usage": {"prompt": 10**30}}, {"attempts": 10**30}, {"seconds": 10**400}, {"usage": 7})
    for changed in ({"attempts": None}, {"reason": "cut: \ud83d"}, *odd):
        lines.append(json.dumps(json.loads(journal_line(2, 0)) | changed) + "\n")
    journal = Progress(write_journal(tmp_path, "m", lines)).update()
    assert (len(journal.lines), journal.unreadable) == (3, 7)
    assert Tally(journal.lines).retries == 0


def test_a_replaced_file_is_read_anew(tmp_path):
    path = write_journal(tmp_path, "m", [journal_line(1, 0), journal_line(1, 1)])
    journal = Progress(path).update()
    other = write_journal(tmp_path / "x", "m", [journal_line(5, 0)])
    other.replace(path)
    assert [line.uid for line in journal.update().lines] == ["q5"]
    longer = [journal_line(q, 0) for q in range(6, 9)]
    write_journal(tmp_path / "x", "m", longer).replace(path)
    assert [line.uid for line in journal.update().lines] == ["q6", "q7", "q8"]
    path.unlink()
    assert journal.update().lines == []


def test_a_file_that_cannot_be_read_now_keeps_what_was_read(tmp_path, monkeypatch):
    """ESTALE, EACCES: a network's file system, for a moment."""
    path = write_journal(tmp_path, "m", [journal_line(1, 0)])
    journal = Progress(path).update()

    def stale(*_):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", stale)
        assert (len(journal.update().lines), journal.problem) == (1, "Stale file handle")
    assert journal.update().problem is None


def test_recent_games_are_those_of_the_window(tmp_path):
    old = [journal_line(q, 0, T0 - 5000 + q) for q in range(50)]
    new = [journal_line(q, 1, T0 + q) for q in range(61)]  # one a second, each open for 2 s
    found = tally(tmp_path, old + new)
    assert found.recent(300, T0 + 60) == (61, T0 - 2)
    assert found.recent(300, T0 + 2000) == (0, T0 + 2000)
