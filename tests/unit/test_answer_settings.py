"""The block `answers`: whose answers are made, by whom, and with what."""

from pathlib import Path

import pytest
from arena.batch.answer_plan import answer_settings
from arena.data.games import Game
from arena.setup.answers import Answers, resolve_answers
from arena.setup.upstream import Upstream
from arena.support.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a/step_1", "a/step_20", "b/step_3", "b/notes"):
        (tmp_path / "ckpt" / name).mkdir(parents=True)
    return tmp_path


def resolved(upstream: Upstream | None = None, **answers: object) -> Answers:
    config = {"answers": answers, "walltime": {"start_minutes": 5, "minutes_per_model": 2}}
    found = resolve_answers(config, Path("results/b"), upstream, rehearsal=False)
    assert found is not None
    return found


def test_placeholders_make_a_model_of_every_folder_that_fits(folder: Path) -> None:
    models = {"x-{run}-step{step}": "ckpt/{run}/step_{step}", "one": "ckpt/b/notes"}
    found = resolved(models=models)
    assert {name: writer.path for name, writer in found.writers.items()} == {
        "x-a-step1": "ckpt/a/step_1",
        "x-a-step20": "ckpt/a/step_20",
        "x-b-step3": "ckpt/b/step_3",
        "one": "ckpt/b/notes",
    }
    assert found.root == Path("results/b/answers")
    assert found.steps and "step" in found.steps


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"models": {"x-{step}": "nowhere/{step}"}}, "nowhere"),
        ({"models": {"m": "ckpt/a/step_1"}, "redo": ["n"]}, "answers.redo"),
        ({"models": ["m"]}, "answers.endpoints"),
        ({}, "answers.models"),
        ({"models": {"x/y": "ckpt/a/step_1"}}, "answers.models"),
        ({"models": {"m": "ckpt/a/step_1"}, "sampling": {"model": "x"}}, "answers.sampling.model"),
        ({"models": {"m": "ckpt/a/step_1"}, "chat_template": "none"}, "answers.chat_template"),
        ({"models": {"m": "ckpt/a/step_1"}, "system_prompt": "none"}, "answers.system_prompt"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(folder: Path, answers: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        resolved(**answers)


def test_blocks_of_a_checkout_are_read_as_they_are(folder: Path) -> None:
    config = folder / "aha/config"
    config.mkdir(parents=True)
    (config / "gen_answer_config.yaml").write_text("bench_name: b\nmodel_list: [local, far]\n")
    (config / "api_config.yaml").write_text(
        "local: {model: ckpt/a/step_1, endpoints: null, max_tokens: 99, temperature: 0.5}\n"
        "far:\n  model: org/far\n"
        "  endpoints: [{api_base: 'http://127.0.0.1:1/v1', api_key: hidden}]\n"
        "  sys_prompt: Be brief.\n  end_think_token: </t>\n  parallel: 3\n"
        "  api_type: openai_thinking\n  max_tokens: 50\n"
    )
    writers = resolved(Upstream(folder / "aha")).writers
    local, far = writers["local"], writers["far"]
    assert (local.path, local.server["server"]) == ("ckpt/a/step_1", "vllm")
    assert local.sampling == {"max_tokens": 99, "temperature": 0.5}
    assert (far.path, far.server["server"], far.server["parallel"]) == ("", "external", 3)
    assert (far.system_prompt, far.end_think_token) == ("Be brief.", "</t>")
    assert far.sampling == {"max_completion_tokens": 50, "reasoning_effort": "medium"}
    assert "hidden" not in str(far.server)  # keys stay in their file
    ours = resolved(Upstream(folder / "aha"), max_tokens=7).writers["local"]
    assert ours.sampling["max_tokens"] == 7


def test_all_that_changes_an_answer_is_in_its_digest(folder: Path) -> None:
    (folder / "t.jinja").write_text("{{ messages }}")
    models = {"m": "ckpt/a/step_1"}
    usual = resolved(models=models).writers["m"]
    digests = {usual.digest("w"), usual.digest("other weights")}
    for change in (
        {"temperature": 1},
        {"max_tokens": 9},
        {"sampling": {"top_p": 0.5}},
        {"chat_template": {"m*": "t.jinja"}},
        {"end_think_token": "</t>"},
    ):
        digests.add(resolved(models=models, **change).writers["m"].digest("w"))
    assert len(digests) == 7
    faster = {"parallel": 9, "batch_size": 3, "command": "x", "chat_template": {"n": "t.jinja"}}
    assert resolved(models=models, **faster).writers["m"].digest("w") == usual.digest("w")


def test_jobs_of_full_checkpoints_have_time_for_every_start(folder: Path) -> None:
    found = resolved(models={"m": "ckpt/a/step_1"}, walltime={"minutes_per_model": 3})
    assert found.job_minutes(models=10, starts=10) == 10 * 5 + 10 * 3
    assert found.job_minutes(models=10, starts=1, attempt=2) == 2 * (5 + 10 * 3)


@pytest.mark.parametrize(
    ("token", "reply", "parts"),
    [
        (None, "a </think> b", (None, "a </think> b")),
        ("</t>", "thought</t>\n\nanswer", ("thought", "answer")),
    ],
)
def test_thought_and_answer(folder: Path, token: str | None, reply: str, parts: tuple) -> None:
    writer = resolved(models={"m": "ckpt/a/step_1"}, end_think_token=token).writers["m"]
    asked = answer_settings("m", writer, "d")
    assert asked.parts(reply) == parts
    for given in (asked.reply("answer", "thought"), asked.reply("answer", "thought") + "."):
        assert asked.parts(given)[0] == "thought"
    assert asked.verdict(reply) and not asked.verdict(asked.reply("\n", "thought"))


def test_a_request_goes_to_the_model_by_its_own_name(folder: Path) -> None:
    writers = resolved(models={"m": "ckpt/a/step_1", "n": "ckpt/a/step_20"}).writers
    asked = answer_settings("n", writers["n"], "d")
    game = Game("q", 0, 0, [{"role": "user", "content": "?"}], "digest", "n")
    other = answer_settings("m", writers["m"], "d")  # the client holds one of a server's settings
    assert other.request(game)["model"] == asked.request(game)["model"] == "n"
