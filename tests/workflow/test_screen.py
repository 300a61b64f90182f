"""What a person sees: a screen of lines that each say something."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.slurm.campaign import WHOLE_S, await_that
from tests.workflow.conftest import Campaign, by_command, read_lines, write_lines
from tests.workflow.test_batch_plan import MODELS, copies

SCREEN = 40  # lines
OF_EACH_MINUTE = re.compile(r"\d+ of \d+ (games|answers|requests) \(\d")


def lines_of(text: str) -> list[str]:
    """What is left of a screen without the lines that a slow machine adds, one a minute."""
    lines = [line for line in text.splitlines() if not OF_EACH_MINUTE.match(line)]
    assert len(lines) <= SCREEN, text
    return lines


def test_25_models_their_batches_and_the_top_in_one_screen(campaign: Campaign) -> None:
    copies(campaign, MODELS)
    dry = lines_of(campaign.run("-n").stdout)
    assert [line.startswith("batch ") for line in dry[-4:]] == [False, True, True, True]
    lines = lines_of(campaign.run().stdout)
    planned = [line for line in lines if line in dry[-3:]]
    assert len(planned) == 3, "the same lines as the dry run's"
    for name in (line.split()[1].rstrip(":") for line in planned):
        assert len([line for line in lines if line.startswith(f"batch {name}")]) == 4
    top = lines.index(next(line for line in lines if line.startswith("Top 5 of 26")))
    best = read_best(campaign)
    assert [line.split()[1] for line in lines[top + 2 : top + 7]] == best[:5]
    assert str(campaign.root.relative_to(campaign.dir)) in lines[top + 7]
    # Snakemake's own log keeps what the screen leaves out.
    (log,) = (campaign.dir / ".snakemake/log").glob("*.log")
    assert log.read_text().count("rule judgment:") == 25


def read_best(campaign: Campaign) -> list[str]:
    table = (campaign.root / "leaderboard.csv").read_text().splitlines()
    return [row.split(",")[1] for row in table if row.startswith("overall,")]


def test_the_end_tells_a_pilot_a_baseline_and_what_was_left_out(judged: Campaign) -> None:
    judged.configure(models=[*judged.models(), "absent"], questions=3)
    lines = lines_of(judged.run().stdout)
    top = lines.index(next(line for line in lines if line.startswith("Top 5 of 5")))
    assert "pilot" in lines[top] and "3 of 12" in lines[top]
    (baseline,) = (line for line in lines[top:] if "(baseline)" in line)
    assert judged.settings["baseline"] in baseline
    assert any("1 model" in line and "eft out" in line for line in lines[top:])


def test_what_fails_is_a_line_with_its_cause_and_log(campaign: Campaign) -> None:
    """Two models fail for one cause, which is given once; the summary names both."""
    copies(campaign, MODELS)
    for model in ("m02", "m03"):
        campaign.add_to_answers(model, " <<judge:500*all>>", slice(1))
    campaign.configure(judge=by_command(), retries=1)
    text = campaign.run("--keep-going", ok=False).stdout
    lines = lines_of(text)
    failed = [line for line in lines if "failed" in line and "500" in line]
    assert len(failed) == 2, "an attempt each"
    assert all((campaign.dir / line.split("Log: ")[1]).exists() for line in failed)
    (model,) = (line for line in lines if re.match("m0[23]: ", line))
    assert "2 of 4 games" in model and failed[0].split()[1] in model, "the batch's line says why"
    (missing,) = (line for line in lines if line.startswith("2 of 25 models"))
    assert "m02" in missing and "m03" in missing
    assert "rule judgment" not in text and "CalledProcessError" not in text


def test_a_judge_that_does_not_start_is_not_reported_per_model(campaign: Campaign) -> None:
    copies(campaign, MODELS)
    campaign.configure(judge=by_command("--fail path"), batch_size=5)
    lines = lines_of(campaign.run("--profile", "profiles/local", ok=False).stdout)
    told = [line for line in lines if "/no/such/weights" in line]
    assert 1 <= len(told) <= 3
    assert any("25 of 25 models" in line for line in lines)


def test_a_batch_that_is_killed_shows_the_end_of_its_log(campaign: Campaign) -> None:
    """Where no record knows the cause."""
    script = campaign.dir / "workflow/scripts/gen_judgment.py"
    lines = 'print(*(f"line-{n}" for n in range(99)), sep="\\n", flush=True)'
    script.write_text(f"import sys\n{lines}\nsys.exit('torn asunder')\n")
    text = campaign.run("--config", "retries=0", ok=False).stdout
    assert text.count("torn asunder") == 1 and "line-98" in text and "line-90" not in text
    assert "4 of 4 models" in text


def test_missing_models_and_models_with_gaps_are_a_line_each(campaign: Campaign) -> None:
    """A model with few answers may come first, by chance."""
    answers = read_lines(campaign.answers("mid-7b-chat"))
    models = [f"m0{number}" for number in range(7)]
    for model in models:
        write_lines(campaign.answers(model), answers[: None if model == "m00" else -1])
    campaign.configure(models=[*models, *(f"absent-{number}" for number in range(113))])
    lines = lines_of(campaign.run("-n").stdout)
    (left_out,) = (line for line in lines if "absent-" in line)
    assert "113 models" in left_out and "absent-2 and 110 more" in left_out
    (gaps,) = (line for line in lines if f"({len(answers) - 1} of {len(answers)})" in line)
    assert "m01" in gaps and "3 more" in gaps and "m00" not in gaps
    assert all("snakemake validate" in line for line in (left_out, gaps))


def test_a_batch_line_counts_the_games_that_are_left(judged: Campaign) -> None:
    """Of two models, one has lost games; the other's answer to one question has changed."""
    lost, changed = judged.models()[:2]
    for model in (lost, changed):
        judged.judgment(model).unlink()
    journal = judged.root / "games" / f"{lost}.jsonl"
    lines = read_lines(journal)
    write_lines(journal, lines[:-3])
    judged.add_to_answers(changed, " And more.", slice(1))
    whole = len(lines) + len(judged.journal(changed))
    (line,) = (one for one in lines_of(judged.run("-n").stdout) if one.startswith("batch "))
    assert f"2 models, 5 of {whole} games" in line
    judged.run()
    assert len(judged.models()) == 4


@pytest.mark.parametrize("asked", ["--verbose", "--quiet"])
def test_who_asks_for_snakemakes_own_screen_gets_it(campaign: Campaign, asked: str) -> None:
    text = campaign.run(asked, *(["all"] if asked == "--quiet" else [])).stdout
    seen = ["rule show_result:" in text, "the judge is ready" in text]
    assert seen == [asked == "--verbose"] * 2
    assert "Top " not in text
    assert len(campaign.models()) == 4


def get_stuck(campaign: Campaign) -> None:
    """Four models; to their second question the judge never replies."""
    copies(campaign, MODELS[:4])
    for model in MODELS[:4]:
        campaign.add_to_answers(model, " <<judge:late=3600*all>>", slice(1, 2))


def await_half(root: Path) -> None:
    """Until all 8 games of the first question are in the journals."""

    def half() -> bool:
        return sum(path.read_bytes().count(b"\n") for path in root.glob("games/*.jsonl")) == 8

    await_that(half, "half of the games", WHOLE_S)


def stop(campaign: Campaign, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Whatever its exit status: a Slurm of this machine may be away just now."""
    command = [sys.executable, "workflow/scripts/stop.py", *arguments]
    return subprocess.run(command, cwd=campaign.dir, capture_output=True, text=True)


@pytest.mark.parametrize(("target", "first"), [("all", "batch "), ("validate", "arena-demo: ")])
def test_a_run_goes_on_without_a_reader(campaign: Campaign, target: str, first: str) -> None:
    """`snakemake 2>&1 | head`: it ends as it would with a reader."""
    command = [sys.executable, "-m", "snakemake", target]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen(command, cwd=campaign.dir, **streams)
    try:
        assert any(line.startswith(first) for line in run.stdout)
        run.stdout.close()
        assert run.wait(WHOLE_S) == 0
    finally:
        run.kill()
    assert len(campaign.models()) == (4 if target == "all" else 0)


def test_a_progress_bar_in_a_terminal(campaign: Campaign) -> None:
    """A terminal: the bar is drawn again and again in one line, and is gone in the end."""
    copies(campaign, MODELS[:4])
    campaign.configure(judge=by_command("--seconds 3 --slots 4"))  # for many looks of a second
    main, terminal = os.openpty()
    command = [sys.executable, "-m", "snakemake"]
    run = subprocess.Popen(command, cwd=campaign.dir, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError):  # its other end is closed
        while part := os.read(main, 4096):
            seen += part
    os.close(main)
    assert run.wait() == 0
    text = seen.decode()
    bars = re.findall(r"\r\x1b\[K[█░]+ (\d+) of 16 games", text)
    assert len(bars) >= 2 and bars == sorted(bars, key=int)
    assert "░" not in text.splitlines()[-1]


@pytest.mark.parametrize("in_background", [False, True])
def test_stop_ends_a_run_on_this_machine(campaign: Campaign, in_background: bool) -> None:
    """Also one that was started so that it ignores Ctrl-C, as a shell's script does with `&`."""
    get_stuck(campaign)
    campaign.configure(judge=by_command())
    ignoring = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    ignoring += "os.execv(sys.executable, [sys.executable, '-m', 'snakemake'])"
    arguments = ["-c", ignoring] if in_background else ["-m", "snakemake"]
    with (campaign.dir / "out.txt").open("w") as out:
        command = [sys.executable, *arguments]
        run = subprocess.Popen(command, cwd=campaign.dir, stdout=out, stderr=out)
    try:
        await_half(campaign.root)
        said = stop(campaign).stdout
        first = "SIGTERM" if in_background else "SIGINT"
        assert said.startswith(f"Sent {first} to Snakemake (process {run.pid})")
        assert run.wait(WHOLE_S) == 1
    finally:
        run.kill()
    assert "No Snakemake" in stop(campaign).stdout
    assert campaign.models() == []
    text = (campaign.dir / "out.txt").read_text()
    assert "Stopped; 8 of 16 games are kept" in text and "4 of 4 models" not in text


def test_another_campaigns_run_is_named_and_its_commands_work(campaign: Campaign) -> None:
    """config/config.yaml describes a campaign that does not run."""
    get_stuck(campaign)
    config = campaign.dir.parent / "mine.yaml"
    judge = by_command() | {"name": "mine"}
    config.write_text(yaml.safe_dump(campaign.settings | {"judge": judge}))
    root = campaign.root.parent / "mine"
    command = [sys.executable, "-m", "snakemake", "--configfile", "../mine.yaml"]
    with (campaign.dir / "out.txt").open("w") as out:
        run = subprocess.Popen(command, cwd=campaign.dir, stdout=out, stderr=out)
    try:
        await_half(root)
        wrong = stop(campaign)
        assert wrong.returncode == 1 and run.poll() is None
        assert str(run.pid) in wrong.stdout and "../mine.yaml" in wrong.stdout
        stop(campaign, "--configfile", "../mine.yaml")
        assert run.wait(WHOLE_S) == 1
    finally:
        run.kill()
    judge = by_command("--fail path") | {"name": "mine"}
    config.write_text(yaml.safe_dump(campaign.settings | {"judge": judge}))
    text = campaign.run("--configfile", "../mine.yaml", ok=False).stdout
    (shown,) = re.findall(r"python (workflow/scripts/monitor\.py .*)", text)
    words = [sys.executable, *shlex.split(shown)]
    seen = subprocess.run(words, cwd=campaign.dir, capture_output=True, text=True, check=True)
    assert all(model in seen.stdout for model in MODELS[:4]) and "/no/such/weights" in seen.stdout
