"""Which models can be judged, and what is said of the others."""

import json
import os
import re
import threading
from types import SimpleNamespace

import pytest
from arena.campaign.validation import check_settings
from arena.data import answers as answer_files
from arena.data.layout import Layout
from arena.support.errors import ConfigError, DataError

from tests.synthetic import settings_of

QUESTIONS = [("a", "hard_prompt"), ("b", "hard_prompt"), ("c", "creative_writing")]


def said(content, uid="c"):
    """A line without a model's name."""
    return {"uid": uid, "messages": [{"role": "assistant", "content": content}]}


@pytest.fixture
def campaign(tmp_path):
    """A small campaign on disk, and `check` with its paths."""

    class Campaign:
        def write(self, path, *lines):
            path = tmp_path / path
            path.parent.mkdir(parents=True, exist_ok=True)
            texts = [one if isinstance(one, str) else json.dumps(one) + "\n" for one in lines]
            path.write_text("".join(texts))
            return path

        def answer(self, model, uids, *more, **metadata):
            about = {"model": model, "metadata": metadata}
            lines = [said(f"{model} {uid}", uid) | about for uid in uids]
            return self.write(f"model_answer/{model}.jsonl", *lines, *more)

        def check(self, *models, reference=None, known_models=(), **changes):
            if known_models:
                changes["upstream"] = SimpleNamespace(api_config=known_models)
            judge = {"reference": reference}
            return check_settings(settings_of(tmp_path, judge, models=models, **changes))

    made = Campaign()
    asked = [{"uid": uid, "category": category, "prompt": "?"} for uid, category in QUESTIONS]
    made.write("question.jsonl", *asked)
    made.answer("base", "abc")
    made.answer("m", "abc")
    return made


@pytest.mark.parametrize(
    ("uids", "more", "state", "counts", "reason"),
    [
        ("ac", [], "incomplete", {"missing": 1}, "1 question without an answer: skipped"),
        ("ab", ['{"uid": "c", "mess'], "broken", {"unreadable": 1, "answers": 2}, "FILE:3: torn: "),
        (
            *("ab", ["<<<<<<< HEAD\n", "=======\n"], "broken", {"unreadable": 2}),
            "FILE:3: git conflict marker: resolve the merge (and 1 more)",
        ),
        ("", ["\n"], "no_answers", {"answers": 0}, "no answers: FILE has none to these questions"),
        ("xyz", [], "broken", {}, "FILE: none of its 3 answers is to a question of this bench"),
        (
            *("ab", [said(None), said("y", "a"), said("y", "z")]),
            *("ready", {"empty": 1, "duplicates": 1, "missing": 0}),
            "1 empty answer (judged too); 1 duplicate: the last answer counts; 1 answer to ",
        ),
    ],
)
def test_what_is_found_in_a_file(campaign, uids, more, state, counts, reason):
    path = campaign.answer("n", uids, *more)
    report = campaign.check("m", "n")
    row = report.rows[-1]
    assert row.state == state
    assert {key: getattr(row, key) for key in counts} == counts
    assert row.reason.startswith(reason.replace("FILE", str(path)))
    judged = state in ("ready", "incomplete")
    assert report.games == {"m": 6} | ({"n": 2 * row.answers} if judged else {})
    assert report.ok, "the others are judged all the same"
    assert report.left_out() == ([] if judged else [f"left out: n: {row.reason}"])
    report.raise_blocking()


def test_a_gap_of_the_baseline_drops_the_question_for_all(campaign):
    campaign.answer("base", "ab")
    campaign.answer("n", "bc")
    campaign.answer("only", "c")
    report = campaign.check("m", "n", "only")
    assert report.rows[0].state == "baseline"
    assert report.rows[0].reason == "1 question without an answer: dropped for all models"
    assert report.dropped == ["c"]
    assert report.notes == ["1 question dropped for all models: c"]
    assert report.games == {"m": 4, "n": 2}
    assert (report.rows[3].state, report.rows[3].answers) == ("no_answers", 1)
    assert report.left_out() == [
        "left out: only: no answers to the questions that the baseline has answered"
    ]
    assert report.ok


@pytest.mark.parametrize(
    ("baseline", "models", "changes", "expected"),
    [
        ("abc", "mx", {"missing_answers": "error"}, "x: no answers: .*(missing_answers: error)"),
        (
            "ab",
            "m",
            {"baseline_gaps": "block"},
            "baseline base: 1 question without an answer: base",
        ),
        ("abc", "m", {"baselines": {"*": "basse"}}, r"baseline basse: no .*did you mean 'base'\?"),
        ("abc", "x", {}, "judged\nleft out: x: no answers: .*model_answer/x.jsonl does not exist"),
    ],
)
def test_what_stops_a_run(campaign, baseline, models, changes, expected):
    campaign.answer("base", baseline)
    report = campaign.check(*models, **changes)
    assert not report.ok
    with pytest.raises(DataError, match=expected):
        report.raise_blocking()


@pytest.mark.parametrize("role", ["baseline", "reference"])
@pytest.mark.parametrize("file", [None, "", "torn", "other"])
def test_an_unusable_baseline_is_no_fault_of_the_models(campaign, role, file):
    if file is not None:
        lines = {"": [], "torn": [said("y", "a"), "{"], "other": [said("y", "z")]}[file]
        campaign.write("model_answer/wrong.jsonl", *lines)
    campaign.answer("part", "ab")
    changes = {"baselines": {"*": "wrong"}} if role == "baseline" else {"reference": "wrong"}
    report = campaign.check("m", "part", **changes)
    states = {row.model: row.state for row in report.rows}
    assert (states["wrong"], states["m"], states["part"]) == ("blocked", "ready", "incomplete")
    assert (report.games, report.dropped, report.notes) == ({"m": 6, "part": 4}, [], [])
    assert "dropped" not in str(report.problems)
    first = next(line for line in report.table().splitlines() if "wrong" in line)
    assert first.startswith(f"  {role} wrong:"), "the cause, before the models"
    assert report.conclusion().endswith(f"{role} wrong")


def test_a_baseline_a_category_needs_only_its_own_questions(campaign):
    campaign.answer("base", "ab")
    campaign.answer("creative", "c")
    report = campaign.check("m", baselines={"*": "base", "creative_writing": "creative"})
    assert [(row.model, row.questions, row.answers, row.state) for row in report.rows] == [
        ("base", 2, 2, "baseline"),
        ("creative", 1, 1, "baseline"),
        ("m", 3, 3, "ready"),
    ]
    assert report.ok


def test_a_category_without_a_baseline_is_named(campaign):
    with pytest.raises(ConfigError, match="none for the category 'creative_writing'"):
        campaign.check("m", baselines={"hard_prompt": "base"})
    with pytest.raises(ConfigError, match=r"judge\.reference: 'a/b' cannot be a file name"):
        campaign.check("m", reference="a/b")


def test_a_reference_counts_like_a_baseline(campaign):
    campaign.answer("ref", "ac")
    report = campaign.check("m", reference="ref")
    assert [row.state for row in report.rows] == ["baseline", "reference", "ready"]
    assert report.dropped == ["b"]


def test_foreign_judgments_stop_the_run(campaign):
    campaign.answer("n", "abc")
    campaign.write("judgments/m.jsonl", {"uid": "a"})
    report = campaign.check("m", "n")
    assert report.rows[1].state == "foreign_judgments"
    assert report.ready == {"n"}
    with pytest.raises(DataError, match=r"1 judgment file in .* \(m\): run `snakemake adopt`"):
        report.raise_blocking()
    campaign.write("games/m.jsonl", "")
    assert not campaign.check("m").ok, "an empty journal has made nothing"
    campaign.write("games/m.jsonl", {"uid": "a"})
    assert not campaign.check("m").ok, "written over ours by another tool: no state of a game"
    campaign.write("judgments/m.jsonl", {"uid": "a", "games": [{"state": "ok"}, {"state": "ok"}]})
    assert campaign.check("m").ok


def test_foreign_judgments_that_are_not_overwritten_stop_no_run(campaign):
    for model in ("none", "torn"):
        campaign.write(f"judgments/{model}.jsonl", {"uid": "a"})
    campaign.answer("torn", "ab", "{")
    report = campaign.check("m", "none", "torn")
    assert [row.state for row in report.rows[1:]] == ["ready", "no_answers", "broken"]
    report.raise_blocking()


def test_names_that_api_config_does_not_know(campaign):
    campaign.answer("llama-8b-step10", "abc")
    known = ["llama-8b-step100", "gpt"]
    report = campaign.check("llama-8b-step10", "llama-8b-step1000", known_models=known)
    said, near = "no block in api_config.yaml", "; did you mean 'llama-8b-step100'?"
    assert report.notes == [f"llama-8b-step10: {said}{near}"]
    assert report.rows[2].reason.endswith(near)


def test_a_model_that_is_to_be_judged_itself_is_no_suggestion(campaign):
    campaign.answer("run-step-100", "abc")
    assert "did you mean" in campaign.check("run-step-200").rows[1].reason
    report = campaign.check("run-step-100", "run-step-200")
    assert report.rows[2].reason.endswith("run-step-200.jsonl does not exist")
    campaign.answer("run-step-200", "abc")
    report = campaign.check("run-step-100", "run-step-200", known_models=["run-step-200"])
    assert report.notes == ["run-step-100: no block in api_config.yaml"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"uid": "a", "category": "overall", "prompt": "?"}, ".*'overall'"),
        ({"uid": "a", "category": "*", "prompt": "?"}, r".*'\*'"),
        ("{", "torn"),
    ],
)
def test_questions_that_cannot_be_used_are_refused(campaign, line, error):
    path = campaign.write("question.jsonl", line)
    with pytest.raises(DataError, match=f"{path}:1: {error}"):
        campaign.check("m")


def test_a_warm_start_reads_no_answers(campaign, monkeypatch):
    read, whole = [], answer_files.read_answers
    monkeypatch.setattr(answer_files, "read_answers", lambda path: read.append(path) or whole(path))
    campaign.check("m")
    assert (len(read), campaign.check("m").games, len(read)) == (2, {"m": 6}, 2)
    campaign.answer("m", "a")
    assert (campaign.check("m").games, len(read)) == ({"m": 2}, 3)


def test_the_files(campaign, tmp_path):
    campaign.answer("m", "ab")
    report = campaign.check("m", "none")
    report.write(Layout(tmp_path / "root"))
    table = (tmp_path / "root" / "validation.tsv").read_text().splitlines()
    heads, _, row = (line.split("\t") for line in table[:3])
    columns = "model questions answers missing duplicates empty cut unreadable state reason"
    assert heads == columns.split()
    assert row == [*"m3210000", "incomplete", "1 question without an answer: skipped"]
    content = json.loads((tmp_path / "root" / "validation.json").read_text())
    assert content["ok"] is True
    assert [row["model"] for row in content["models"]] == ["base", "m", "none"]
    assert list(content["models"][1].items())[3] == ("missing", 1)


def test_the_table_names_models_in_full_and_counts_what_there_is(campaign):
    name = "a-very-long-name-of-a-model-with-its-step-000123456789"
    campaign.answer(name, "ab")
    table = campaign.check(name, "none").table()
    lines = table.splitlines()
    assert lines[0] == "bench: 3 questions"
    assert lines[2].split() == ["model", "answers", "missing", "state"]
    assert lines[3].split() == ["base", "3/3", "-", "baseline"]
    assert lines[4].split() == [name, "2/3", "1", "incomplete"]
    # A path is never broken: it is to be copied.
    assert all(len(line) <= 80 or "/" in line for line in lines[5:])
    broken = campaign.check(name, "none", missing_answers="error").table()
    assert "\nErrors:\n" in broken and "\nErrors:\n" not in table
    assert broken.count("none.jsonl") == 1, "an error is no remark as well"


@pytest.mark.parametrize(
    ("models", "changes", "judged", "numbers", "end"),
    [
        ("mn", {}, 8, [2, 2, 10, 8], ""),
        ("mxt", {}, 6, [1, 3, 6, 6, 2], "see above"),
        ("mxt", {"missing_answers": "error"}, 0, [1, 3, 6], "fixed: x"),
        ("xt", {}, 0, [0, 2, 0], "see above"),
        ("", {}, 0, [0, 0, 0], "no model is selected"),
    ],
)
def test_the_conclusion_counts_ready_models_and_games(
    campaign, models, changes, judged, numbers, end
):
    campaign.answer("n", "ab")
    campaign.answer("t", "ab", "{")
    report = campaign.check(*models, **changes)
    text = report.conclusion(judged)
    assert [int(number) for number in re.findall(r"\d+", text)] == numbers
    assert text.endswith(end)
    assert report.ok == ("m" in models and not changes)


@pytest.mark.parametrize("odd", ["fifo", "loop", "folder", "judgments"])
def test_a_path_that_is_no_file_costs_its_own_line(campaign, tmp_path, odd):
    path = tmp_path / "model_answer/odd.jsonl"
    if odd == "fifo":
        os.mkfifo(path)
        # ends a reader that waits for a writer
        threading.Thread(target=path.write_bytes, args=[b""], daemon=True).start()
    elif odd == "loop":
        path.symlink_to(path.name)
    elif odd == "folder":
        path.mkdir()
    else:
        campaign.answer("odd", "abc")
        for folder in ("judgments", "games"):
            (tmp_path / folder / "odd.jsonl").mkdir(parents=True)
    report = campaign.check("m", "odd")
    if odd == "fifo":
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))  # ends the writer
    assert (report.ready, report.rows[-1].state) == ({"m"}, "broken")
    assert "odd.jsonl: " in report.rows[-1].reason
    report.raise_blocking()


def test_a_judgment_file_that_links_to_itself_is_made_anew(campaign, tmp_path):
    (tmp_path / "judgments").mkdir()
    (tmp_path / "judgments/m.jsonl").symlink_to("m.jsonl")
    assert campaign.check("m").ready == {"m"}
