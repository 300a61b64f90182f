"""Settings: who wins over whom, and which change judges again."""

import math
import re
from pathlib import Path

import pytest
import yaml
from arena.data.games import Game, GameSettings
from arena.setup.notes import notes_on, prompt_differences
from arena.setup.resolve import resolve
from arena.setup.settings import Settings
from arena.setup.upstream import endpoints
from arena.support.errors import ConfigError

AHA = {"arena_hard_dir": "aha", "data_dir": "data"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of four models, in the working directory."""
    monkeypatch.chdir(tmp_path)
    answers = tmp_path / "data/b/model_answer"
    answers.mkdir(parents=True)
    for model in ("base", "run-1", "run-2", "solo"):
        (answers / f"{model}.jsonl").write_text("")
    (tmp_path / "data/b/question.jsonl").write_text(
        '{"uid": "q1", "category": "hard_prompt", "prompt": "?"}\n'
    )
    return tmp_path


@pytest.fixture
def checkout(data: Path) -> Path:
    """Settings files shaped as Arena-Hard-Auto's, in words of our own."""
    home = data / "aha"
    (home / "config").mkdir(parents=True)
    (home / "utils").mkdir()
    file = home / "config/b.yaml"
    edit(file, judge_model="theirs", bench_name="b", reference=None, model_list=["run-1"])
    edit(file, temperature=0.25, max_tokens=123, regex_patterns=[r"\[\[([AB<>=]+)\]\]"])
    edit(file, prompt_template="Q {QUESTION} 1 {ANSWER_A} 2 {ANSWER_B}")
    ends = {"endpoints": [{"api_base": "http://127.0.0.1:1/v1", "api_key": "hidden"}]}
    theirs = {"parallel": 8, "max_tokens": 999, "temperature": 0.9, "api_type": "openai"}
    blocks = {"theirs": theirs | ends, "run-1": {}, "claude": {"api_type": "anthropic"}}
    edit(home / "config/api_config.yaml", **blocks)
    (home / "utils/judge_utils.py").write_text(
        'PROMPT = "Judge them."\n'
        'JUDGE_SETTINGS = {"hard_prompt": {"baseline": "base", "system_prompt": PROMPT},\n'
        '                  "coding": {"baseline": "other", "system_prompt": PROMPT}}\n'
    )
    return home


def edit(file: Path, **keys: object) -> None:
    """Set keys of a YAML file."""
    known = yaml.safe_load(file.read_text()) if file.exists() else {}
    file.write_text(yaml.safe_dump(known | keys))


def demo(**judge: object) -> dict:
    return {"judge": {"name": "j", "server": "demo"} | judge}


def settings(**config: object) -> Settings:
    minimal = {"bench": "b", "models": "all", "baseline": "base"} | demo()
    return resolve(minimal | config)


def test_odd_names_of_files_blocks_and_lists_are_left_out(data, checkout):
    (data / "data/b/model_answer/m(thinking).jsonl").write_text("")
    found = settings()  # "all": every answer file less judge and baseline
    assert (found.models, found.odd_names) == (("run-1", "run-2", "solo"), ("m(thinking)",))
    (data / "models.txt").write_text("solo\norg/name\nm(*\n")
    found = settings(models="models.txt")
    assert (found.models, found.odd_names) == (("solo",), ("org/name", "m(thinking)"))
    edit(checkout / "config/api_config.yaml", **{"org/name": {}})
    found = settings(**AHA, judge={"name": "theirs"})
    assert (found.models, found.odd_names) == (("claude", "run-1"), ("org/name",))


def test_models_from_a_file_a_list_and_globs(data: Path) -> None:
    (data / "models.txt").write_text("\ufeff# mine\nsolo  # the old one\n\nrun-*\n", "utf-8")
    assert settings(models="models.txt").models == ("solo", "run-1", "run-2")
    assert settings(models=["run-2", "run-*"]).models == ("run-2", "run-1")
    assert settings(only=["run-*"]).selected == ("run-1", "run-2")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"models": ["tulu-*"]}, "models: tulu-* matches no model"),
        ({"models": "run-*"}, ". To name models write a list: [run-*]"),
        ({"models": "empty.txt"}, "models: empty.txt contains no model"),
        ({"models": "data"}, "models: 'data' is not a file in /"),
        ({"models": "latin.txt"}, "models: latin.txt: not UTF-8 at byte 4"),
        ({"models": ["../x"]}, "models: '../x' cannot be a file name: it contains '/'"),
        ({"models": ["base"]}, "models: ['base'] "),
        ({"data_dir": "nowhere"}, "bench: there is no folder nowhere/b/"),
        ({"bench": "Bb"}, "bench: there is no folder data/Bb/; did you mean 'bb'?"),
        ({"bench": "bb", "models": "all"}, " data/bb/model_answer/"),
        (demo(name="org/j"), "judge.name: 'org/j' cannot be a file name"),
        (demo(patterns=["[("]), "judge.patterns: '[(' is not a regular expression"),
        (demo(reference="solo"), "judge.reference: solo "),
        (demo(prompt_template="with_reference.txt"), "judge.reference is missing"),
        ({"leaderboard": {"ci": "unanchored"}}, "leaderboard.ci: unanchored"),
        ({"only": ["sole"]}, "only: 'sole' is not one of the models; did you mean 'solo'?"),
        ({"baseline": None}, "baseline is missing"),
        ({"judge": {"server": "demo"}}, "judge.name is missing"),
        ({"judge": {"name": "j"}}, "judge.server is missing"),
        ({"judge": {"name": "j", "server": "vllm"}}, "judge.path is not set"),
        ({"judge": {"name": "j", "server": "external"}}, "judge.endpoints is missing"),
        ({"judge": {"name": "j", "command": "serve {prot}"}}, "unknown placeholder {prot}"),
        (demo(system_prompt="nowhere.txt"), "judge.system_prompt: nowhere.txt: cannot be read: No"),
        (demo(system_prompt="empty.txt"), "judge.system_prompt: empty.txt: the judge's prompt is"),
        (demo(prompt_template="latin.txt"), "judge.prompt_template: latin.txt: not UTF-8 at byte"),
        (demo(system_prompt={"coding": "empty.txt"}), "judge.system_prompt: the questions have no"),
        ({"baseline": {"hard_prompts": "base"}}, "baseline: the questions have no category"),
        (
            {"categories": ["hard"]},
            "categories: the questions have no category 'hard' (they have hard_prompt)",
        ),
        (demo(sampling={"stream": True}), "judge.sampling.stream"),
        (demo(sampling={"extra_body": 5}), "judge.sampling.extra_body"),
    ],
)
def test_what_cannot_be_is_refused_by_key(data, config, expected):
    (data / "with_reference.txt").write_text("{QUESTION} {ANSWER_A} {ANSWER_B} {REFERENCE}")
    (data / "latin.txt").write_bytes(b"caf\xe9\n")
    (data / "empty.txt").write_text("\n")
    (data / "data/bb").mkdir()
    with pytest.raises(ConfigError) as caught:
        settings(**config)
    assert expected in str(caught.value)


def test_a_checkout_needs_no_retyping(checkout: Path) -> None:
    found = settings(**AHA, baseline=None, judge={})
    judge = {"name": "theirs", "server": "external", "parallel": 8}
    judge |= {"temperature": 0.25, "max_tokens": 123}  # settings file before api_config
    assert found.judge.items() >= judge.items()
    assert found.judge["api_config"] == "aha/config/api_config.yaml"
    assert found.baselines == {"hard_prompt": "base"}, "only of categories that are asked"
    assert found.prompts["system_prompt"]["hard_prompt"] == "Judge them."
    assert found.prompts["prompt_template"] == "Q {QUESTION} 1 {ANSWER_A} 2 {ANSWER_B}"
    assert "hidden" not in repr(found) + str(found.judgment_params()) + str(found.server_settings())


def test_a_category_unknown_to_the_checkout_is_never_judged_with_our_prompt(checkout):
    with (checkout.parent / "data/b/question.jsonl").open("a") as questions:
        questions.write('{"uid": "q2", "category": "poems", "prompt": "?"}\n')
    with pytest.raises(ConfigError, match=r"category 'poems'.*judge.system_prompt"):
        settings(**AHA)
    (checkout.parent / "poems.txt").write_text("Judge poems.")
    made = settings(**AHA, **demo(system_prompt={"poems": "poems.txt"}))
    told = {"poems": "Judge poems.", "hard_prompt": "Judge them."}
    assert made.prompts["system_prompt"] == told


def test_a_checkouts_prompts_are_never_mixed_with_ours(checkout: Path) -> None:
    code, file = checkout / "utils/judge_utils.py", checkout / "config/b.yaml"
    template = {"prompt_template": "aha/own.txt"}
    ours = AHA | demo(system_prompt="aha/own.txt", **template)
    (checkout / "own.txt").write_text("{QUESTION} {ANSWER_A} {ANSWER_B}\n")
    code.rename(checkout / "moved")
    with pytest.raises(ConfigError, match=r"no system prompt for .*'hard_prompt' .*none"):
        settings(**AHA)
    settings(**ours)
    (checkout / "moved").rename(code)
    file.rename(checkout / "config/other.yaml")
    assert settings(**AHA).prompts["prompt_template"][0] == "Q", "by its bench_name"
    (checkout / "config/other.yaml").unlink()
    with pytest.raises(ConfigError, match=r"has system prompts but no prompt template"):
        settings(**AHA)
    settings(**AHA, **demo(**template))
    (told,) = prompt_differences(settings(**ours))[1:]
    assert told == "prompt template: the checkout has none for this bench"
    code.unlink()
    (told,) = prompt_differences(settings(**AHA))
    assert "aha has no prompts for b, so the judge prompt is this project's own or yours" in told


def test_what_is_not_asked_for_changes_nothing(checkout: Path) -> None:
    where = AHA | {"baseline": None}
    before = settings(**where)
    assert list(before.prompts["system_prompt"]) == ["hard_prompt"]
    code = checkout / "utils/judge_utils.py"
    code.write_text(f"{code.read_text()}JUDGE_SETTINGS['coding']['system_prompt'] = 'x'\n")
    given = {"*": "solo", "hard_prompt": "base"}
    for same in ({}, {"baseline": given}, {"baseline_gaps": "block"}):
        after = settings(**where | same)
        assert after.digest == before.digest
        assert prompt_differences(after) == ["the judge prompt is that of aha"]
    assert settings(**where, judge={"temperature": 1.0}).digest != before.digest


def test_a_baseline_of_some_categories_leaves_the_checkouts_for_the_others(checkout):
    with (checkout.parent / "data/b/question.jsonl").open("a") as questions:
        questions.write('{"uid": "q2", "category": "coding", "prompt": "?"}\n')
    some, every = {"coding": "solo"}, {"coding": "solo", "*": "run-1"}
    found = settings(**AHA, baseline=some).baselines
    assert found == {"hard_prompt": "base", "coding": "solo"}
    assert settings(**AHA, baseline=every).baselines == every


def test_each_difference_from_the_checkout_is_told(checkout):
    (checkout / "mine.txt").write_text("Judge them.\nBe kind.\nBe brief.\n")
    ours = demo(system_prompt="aha/mine.txt", temperature=0.7, sampling={"reasoning_effort": "low"})
    told = prompt_differences(settings(**AHA, baseline="solo", **ours))
    found = ("2 lines.*Be kind", "hard_prompt.*solo, .* base", "temperature: 0.7, .* 0.25")
    for pattern in found:
        assert [bool(re.search(pattern, line)) for line in told].count(True) == 1
    assert len(told) == len(found)


def test_a_reference_that_the_template_does_not_show_is_left_out(checkout):
    edit(checkout / "config/b.yaml", reference="sage")
    found = settings(**AHA)
    assert found.judge["reference"] is None
    assert prompt_differences(found) == ["reference: None, in the checkout sage"]


def test_numbers_of_the_judges_block_are_checked(checkout):
    edit(checkout / "config/api_config.yaml", theirs={"parallel": "eight"})
    with pytest.raises(ConfigError, match=r"api_config\.yaml: theirs: parallel: cannot be"):
        settings(**AHA, judge={})


THINKING = {"api_type": "openai_thinking"}


def thought(effort: str, **more: object) -> dict:
    return {"reasoning_effort": effort, "max_completion_tokens": 123, **more}


@pytest.mark.parametrize(
    ("block", "judge", "sent"),
    [
        (THINKING | {"reasoning_effort": "high", "max_tokens": None}, {}, thought("high")),
        (THINKING, {"sampling": {"seed": 1}}, thought("medium", seed=1)),
        (
            THINKING,
            {"temperature": 1, "sampling": {"reasoning_effort": "low"}},
            thought("low", temperature=1),
        ),
        ({}, {"temperature": None}, {"max_tokens": 123}),
        ({}, {}, {"temperature": 0.25, "max_tokens": 123}),
    ],
)
def test_what_a_request_says_besides_the_prompt(checkout, block, judge, sent):
    file = checkout / "config/api_config.yaml"
    edit(file, theirs=yaml.safe_load(file.read_text())["theirs"] | block)
    named = settings(**AHA, judge={"name": "theirs"} | judge)
    game = Game("q1", 0, 0, [], "")
    request = GameSettings.from_dict(named.judgment_params()).request(game)
    assert request == {"model": "theirs", "messages": []} | sent


def test_no_temperature_of_a_checkout_is_none(checkout: Path) -> None:
    edit(checkout / "config/b.yaml", temperature=None)
    assert settings(**AHA, judge={"name": "theirs"}).judge["temperature"] is None


def test_our_api_type_wins_over_the_blocks(checkout: Path) -> None:
    with pytest.raises(ConfigError, match="claude: api_type: 'anthropic' is not OpenAI-compatible"):
        settings(**AHA, judge={"name": "claude"})
    found = settings(**AHA, judge={"name": "claude", "api_type": "openai"})
    (asked,) = endpoints(found.server_settings(), {"OPENAI_API_KEY": "k"})
    assert asked["model"] == "claude", "the job takes it as well"


def test_a_tilde_is_the_home_folder_in_every_path(data, monkeypatch):
    monkeypatch.setenv("HOME", str(data))
    (data / "models.txt").write_text("solo\n")
    (data / "own.txt").write_text("{QUESTION} {ANSWER_A} {ANSWER_B}\n")
    (data / "checkout/config").mkdir(parents=True)
    prompts = {"prompt_template": "~/own.txt", "system_prompt": {"*": "~/own.txt"}}
    folders = {key: f"~/{key[:4]}" for key in ("data_dir", "results_dir", "judgments_dir")}
    folders |= {"models": "~/models.txt", "arena_hard_dir": "~/checkout"}
    (data / "ckpt/m1").mkdir(parents=True)
    files = {"base": "~/base", "chat_template": {"*": "~/own.txt"}, "system_prompt": "~/own.txt"}
    folders["answers"] = {"models": {"m{n}": "~/ckpt/m{n}"}, "dir": "~/made", **files}
    found = settings(judge={"name": "j", "path": "~/weights", **prompts}, **folders)
    writer = found.answers.writers["m1"]
    used = (writer.path, writer.base, writer.chat_template, str(found.answers.folder))
    assert used == tuple(str(data / name) for name in ("ckpt/m1", "base", "own.txt", "made"))
    paths = (found.answers_dir, found.root, found.judgments_dir, Path(found.judge["path"]))
    names = ("data/b/model_answer", "resu/b/j", "judg/j", "weights")
    assert paths == tuple(data / name for name in names)
    assert found.models == ("solo",)


def test_all_models_of_a_checkout_and_those_whose_answers_are_made(checkout):
    answers = {"models": {"new-{step}": "ckpt/{step}"}}
    (checkout.parent / "ckpt/100").mkdir(parents=True)
    found = settings(**AHA, judge={"name": "theirs"}, answers=answers)
    assert found.models == ("claude", "run-1", "new-100")


def test_a_copy_of_our_prompt_is_our_prompt(data: Path, project: Path) -> None:
    files = {"system_prompt": "system.txt", "prompt_template": "template.txt"}
    own = {key: str(project / "config/prompts" / name) for key, name in files.items()}
    assert settings(**demo(**own)).digest == settings().digest


def test_settings_that_would_end_every_job_are_noted(data: Path) -> None:
    def notes(path: str = "org/name", **walltime: float) -> list[str]:
        judge = {"name": "j", "server": "vllm", "path": path}
        return list(notes_on(settings(judge=judge, walltime=walltime), []))

    assert notes() == notes(max_minutes=32) == notes(str(data)) == []
    (note,) = notes(max_minutes=31)
    assert "max_minutes" in note and "(32)" in note
    for path in ("/nowhere/judge", "./judge", "models/org/name"):
        assert f"judge.path: {path} " in notes(path)[0]


def test_our_keys_win_over_the_checkout(checkout: Path) -> None:
    (checkout / "own.txt").write_text("{QUESTION} {ANSWER_A} {ANSWER_B}!")
    ours = demo(temperature=0, prompt_template="aha/own.txt")
    found = settings(**AHA, baseline="solo", walltime={"start_minutes": 3}, **ours)
    assert (found.judge["temperature"], found.judge["max_tokens"]) == (0.0, 123)
    assert list(found.walltime.values()) == [3, 12, math.inf]
    assert found.baselines == {"*": "solo"}
    assert found.prompts["prompt_template"] == "{QUESTION} {ANSWER_A} {ANSWER_B}!"


@pytest.mark.parametrize(
    ("config", "judgments", "root"),
    [
        ({}, "data/b/model_judgment", "results/b/j"),
        ({"judgments_dir": "out/{baseline}"}, "out/base", "results/b/j"),
        ({"rehearsal": True}, "results/rehearsal/model_judgment", "results/rehearsal/b/j"),
    ],
)
def test_paths_of_answers_judgments_and_results(data, config, judgments, root):
    judge = {"name": "j", "path": "/weights", "command": "vllm serve {path} --host {host}"}
    found = settings(judge=judge, **config)
    assert found.judgment("solo") == f"{judgments}/j/solo.jsonl"
    assert found.answer("solo") == "data/b/model_answer/solo.jsonl"
    assert str(found.root) == root
    is_rehearsal = "rehearsal" in config
    assert (found.toy, not found.server_settings()["command"]) == (is_rehearsal, is_rehearsal)


@pytest.mark.parametrize(
    ("change", "judges_again"),
    [
        (demo(temperature=0.5), True),
        (demo(max_tokens=5), True),
        (demo(patterns=["x"]), True),
        (demo(sampling={"top_p": 0.9}), True),
        ({"baseline": "solo"}, True),
        (demo(parallel=3, max_restarts=9, ready_minutes=1, env={"A": "b"}), False),
        ({"batch_size": 3, "seed": 7, "walltime": {"start_minutes": 1}}, False),
    ],
)
def test_which_settings_judge_again(data, change, judges_again):
    before, after = settings(), settings(**change)
    assert (after.judgment_params() != before.judgment_params()) == judges_again


def test_another_model_under_the_judges_name_judges_again(data: Path) -> None:
    def digest(*models: str | None, server: str = "external") -> str:
        ends = [{"api_base": "http://h/v1", "model": model} for model in models]
        judge = {"name": "j", "server": server, "endpoints": ends}
        return settings(judge=judge).digest

    assert digest("j") == digest(None, "j")
    assert digest("j") != digest("org/j") != digest("org/other")
    assert digest("org/j", "j") == digest("j", "org/j", "org/j"), "order and number are no matter"


def test_a_pilot_changes_which_games_are_played_and_no_game(data: Path) -> None:
    lines = (f'{{"uid": "{n}", "category": "{"ab"[n % 2]}", "prompt": "?"}}\n' for n in range(8))
    (data / "data/b/question.jsonl").write_text("".join(lines))
    baselines = {"baseline": {"a": "base", "b": "solo"}}
    whole = settings(**baselines)
    for all_of_it in ({"questions": 8}, {"questions": 9}, {"categories": ["b", "a"]}):
        assert settings(**baselines, **all_of_it).digest == whole.digest
    pilot = settings(**baselines, questions=4)
    assert (pilot.requests_digest, pilot.models) == (whole.requests_digest, whole.models)
    assert len({pilot.digest, whole.digest, settings(questions=3, **baselines).digest}) == 3
    assert len(pilot.asked()) == 4 and pilot.baseline_models == ["base", "solo"]
    one = settings(**baselines, categories="b")  # asks for no answers of base
    assert one.opponents() == [("solo", "data/b/model_answer/solo.jsonl")]
    assert [question.uid for question in one.asked()] == ["1", "3", "5", "7"]
    assert whole.pilot_note() == [] and "4 of 8" in one.pilot_note()[0]
    assert settings(**baselines, categories="b", seed=1).digest == one.digest
    assert settings(**baselines, questions=4, seed=1).digest != pilot.digest
