"""The block `answers`: whose answers are made, by whom, and with what."""

import re
from pathlib import Path

import pytest
from arena.batch.answer_plan import answer_settings
from arena.data.games import Game
from arena.setup.answers import Answers, expand, resolve_answers
from arena.setup.settings import job_minutes
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
    found = resolve_answers(config, Path("results/b"), upstream)
    assert found is not None
    return found


def test_placeholders_make_a_model_of_every_folder_that_fits(folder: Path) -> None:
    models = {"x-{run}-step{step}-{run}": "ckpt/{run}/step_{step}", "one": "ckpt/b/notes"}
    found = resolved(models=models)
    assert {name: writer.path for name, writer in found.writers.items()} == {
        "x-a-step1-a": "ckpt/a/step_1",
        "x-a-step20-a": "ckpt/a/step_20",
        "x-b-step3-b": "ckpt/b/step_3",
        "one": "ckpt/b/notes",
    }
    assert found.root == Path("results/b/answers")
    assert re.findall(found.steps or "", "x-a-step20-a") == [("a", "20")]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"models": {"x-{step}": "nowhere/{step}"}}, "nowhere"),
        ({"models": {"x-{setp}": "ckpt/a/step_{step}"}}, r"no placeholder \{setp\}; it has step"),
        ({"models": {"x-{step}": "ckpt/{run}/step_{step}"}}, "two folders for x-5: .*differs"),
        ({"models": {"x-{what}": "ckpt/b/{what}"}}, r"ckpt/b/2 \(copy\): .*cannot be a file name"),
        ({"models": {"m": "ckpt/a/step_1"}, "redo": ["n"]}, "answers.redo"),
        ({"models": ["m"]}, "answers.endpoints"),
        ({}, "answers.models"),
        ({"models": {"m": "ckpt/a/step_1"}, "sampling": {"model": "x"}}, "answers.sampling.model"),
        ({"models": {"m": "ckpt/a/step_1"}, "chat_template": "none"}, "answers.chat_template"),
        ({"models": {"m": "ckpt/a/step_1"}, "system_prompt": "none"}, "answers.system_prompt"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(folder: Path, answers: dict, told: str) -> None:
    for name in ("a/step_5", "b/step_5", "b/2 (copy)"):
        (folder / "ckpt" / name).mkdir()
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
    assert [job_minutes(found.walltime, 10, starts=n) for n in (1, 10)] == [35, 80]
    assert job_minutes(found.walltime, 10, attempt=2) == 70
    assert job_minutes(found.walltime | {"max_minutes": 40}, 10, attempt=2) == 40


def test_a_request_goes_to_the_model_by_its_own_name(folder: Path) -> None:
    writers = resolved(models={"m": "ckpt/a/step_1", "n": "ckpt/a/step_20"}).writers
    asked = answer_settings("n", writers["n"], "d")
    game = Game("q", 0, 0, [{"role": "user", "content": "?"}], "digest", "n")
    other = answer_settings("m", writers["m"], "d")  # the client holds one of a server's settings
    assert other.request(game)["model"] == asked.request(game)["model"] == "n"


def make(root: Path, *folders: str) -> None:
    for folder in folders:
        (root / folder).mkdir(parents=True)


def test_every_folder_that_fits_is_a_model(tmp_path: Path) -> None:
    make(tmp_path, "a/step_10", "a/step_9", "b-2/step_9", "b-2/step_final", "a/step_", "a/other")
    make(tmp_path, ".hidden/step_1", "empty")
    (tmp_path / "a" / "step_11").write_text("a file")
    (tmp_path / "a" / "step_12").symlink_to(tmp_path / "gone")
    (tmp_path / "c").write_text("a file")
    assert expand("m-{run}-step{step}", f"{tmp_path}/{{run}}/step_{{step}}") == [
        ("m-a-step9", f"{tmp_path}/a/step_9"),
        ("m-a-step10", f"{tmp_path}/a/step_10"),
        ("m-b-2-step9", f"{tmp_path}/b-2/step_9"),
        ("m-b-2-stepfinal", f"{tmp_path}/b-2/step_final"),
    ]
    final = expand("{run}", f"{tmp_path}/{{run}}/step_final")
    assert final == [("b-2", f"{tmp_path}/b-2/step_final")]


def test_the_same_placeholder_is_the_same_text(tmp_path: Path) -> None:
    make(tmp_path, "x/x-1", "x/y-1", "a+b/a+b-2", "x.z/xqz-1", "d-d", "d-e")
    found = expand("{run}-{step}", f"{tmp_path}/{{run}}/{{run}}-{{step}}")
    assert found == [("a+b-2", f"{tmp_path}/a+b/a+b-2"), ("x-1", f"{tmp_path}/x/x-1")]
    assert expand("{run}", f"{tmp_path}/{{run}}-{{run}}") == [("d", f"{tmp_path}/d-d")]


def test_a_name_without_placeholders_is_one_folder(tmp_path: Path) -> None:
    assert expand("llama", "/models/llama") == [("llama", "/models/llama")]
    assert expand("m{step}", f"{tmp_path}/step_{{step}}") == []
    assert expand("m{step}", f"{tmp_path}/nowhere/step_{{step}}") == []
