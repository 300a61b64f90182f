"""What a run says while it goes on, from records alone and by a clock of the test's."""

from pathlib import Path

import pytest
from arena.campaign.run_watch import RunWatch
from arena.data.layout import Layout
from arena.journals.attempts import Attempt
from arena.journals.records import ModelStatus, Status, Stop, StopKind, write_json

RUN, GAMES = "now", {"aaaa": 200, "bbbb": 100}
START = 1_000_000.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def record(layout: Layout, batch: str, run: str = RUN, **known: object) -> None:
    attempt = Attempt(batch, run, node="n1", start=START, **known)  # type: ignore[arg-type]
    write_json(layout.attempts(batch), attempt.to_json())


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
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES)
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
    quiet = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES, minutes=False)
    assert [quiet.look(START + second) for second in range(0, 200, 10)][1:] == [[]] * 19
    assert quiet.part == pytest.approx(0.3)


def test_a_cause_is_told_once(layout: Layout) -> None:
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES)
    stop = Stop(StopKind.JUDGE_START, "no weights\nand the end of a log")
    for batch in GAMES:
        record(layout, batch, end=START + 1, stop=stop, log=f"{batch}/server.log")
    lines = [line for line in watch.look(START) if "failed" in line]
    assert len(lines) == 2 and "aaaa" in lines[1], "the second names the first"
    assert [line.count("no weights") for line in lines] == [1, 0]
    assert "and the end" not in "".join(lines)
    assert watch.failure("aaaa", "SLURM status is: 'FAILED'") is None
    assert "'TIMEOUT'" in (watch.failure("aaaa", "SLURM status is: 'TIMEOUT'") or "")


def test_what_no_record_explains_shows_words_and_the_end_of_a_log(layout: Layout) -> None:
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES)
    log = layout.root / "job.log"
    log.write_text("".join(f"line {number}\n\n" for number in range(100)))
    told = watch.failure("aaaa", "SLURM status is: 'TIMEOUT'", [str(log)]) or ""
    assert "TIMEOUT" in told and str(log) in told
    assert "line 99" in told and "line 90" not in told


def test_a_file_is_read_only_when_it_has_changed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    import arena.campaign.run_watch as module

    reads: list[Path] = []
    real = module.read_attempts
    monkeypatch.setattr(module, "read_attempts", lambda path: reads.append(path) or real(path))
    watch = RunWatch(dict.fromkeys(GAMES, layout), RUN, GAMES)
    record(layout, "aaaa")
    for second in range(50):
        watch.look(START + second)
    assert len(reads) == 1
