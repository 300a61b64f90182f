"""Complete config.yaml from the user's Arena-Hard-Auto checkout.

Order of precedence, highest first: command line, config.yaml (Snakemake merges these two),
Arena-Hard-Auto's settings file of the bench, its api_config.yaml, the defaults in `settings`.

Prompts and baselines are by category; "*" stands for every category without an entry. Entries of
categories that no question has are left out, so that they change no digest and need no answers.
"""

import fnmatch
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from arena.data.games import GameSettings
from arena.data.prompts import ANY_CATEGORY, asks_for, check_template, own_prompts, read_prompt
from arena.data.questions import Pilot, Question, read_questions
from arena.data.verdict import DEFAULT_PATTERNS, check_patterns, default_rule
from arena.setup.answers import Answers, resolve_answers
from arena.setup.judge_command import script_of
from arena.setup.settings import (
    DEFAULTS,
    TOY,
    WALLTIME,
    Settings,
    first_set,
    request_params,
    server_of,
)
from arena.setup.upstream import Upstream
from arena.support.errors import ArenaError, ConfigError
from arena.support.files import read_text
from arena.support.names import check_model_name, did_you_mean, in_order, is_model_name

WORKFLOW = Path(__file__).resolve().parents[3]
_PATHS = {"arena_hard_dir", "data_dir", "judgments_dir", "results_dir", "models", "path", "base"}
_PATHS |= {"system_prompt", "prompt_template", "chat_template", "dir"}
_GLOB = set("*?[")
_LEADERBOARD = {"weight": 3, "rounds": 1000, "ci": "questions", "ranks": "simultaneous"}
_LEADERBOARD |= {"tokens": False, "control_features": []}


def resolve(config: dict[str, Any]) -> Settings:
    """Complete a config that `check_config` has accepted.

    Raises ConfigError naming the key, or the file and key of the checkout.
    """
    config = _expand_home({key: value for key, value in config.items() if value is not None})
    config = DEFAULTS | config
    upstream = Upstream(Path(config["arena_hard_dir"])) if config.get("arena_hard_dir") else None
    bench = check_model_name(config["bench"], where="config: bench")
    theirs = upstream.settings(bench) if upstream else {}
    judge = _judge(config["judge"], theirs, upstream)
    checkout = upstream.directory if upstream else None
    data_dir = Path(config.get("data_dir") or (checkout or Path()) / "data")
    if not (data_dir / bench).is_dir():
        near = did_you_mean(bench, (path.name for path in data_dir.glob("*")))
        raise ConfigError(f"config: bench: there is no folder {data_dir / bench}/{near}")
    results_dir = Path(config.get("results_dir") or "results")
    judgments_dir = config.get("judgments_dir") or str(data_dir / bench / "model_judgment")
    if config.get("rehearsal"):
        judge |= TOY
        results_dir /= "rehearsal"
        judgments_dir = str(results_dir / "model_judgment")
    questions = data_dir / bench / "question.jsonl"
    bench_questions: list[Question] = []
    with suppress(ArenaError):  # the validation reports questions that cannot be read
        bench_questions = read_questions(questions)
    asked = {question.category for question in bench_questions}
    pilot, categories = _pilot(config, bench_questions)
    baselines = _baselines(config.get("baseline"), theirs, asked)
    prompts = _prompts(config["judge"], theirs, asked, checkout)
    if not asks_for(prompts["prompt_template"], "REFERENCE"):
        judge["reference"] = None  # the checkout may name one that its template does not use
    answers_dir = data_dir / bench / "model_answer"
    answers = resolve_answers(config, results_dir / bench, upstream)
    written = tuple(answers.writers) if answers else ()
    named = _models(config["models"], answers_dir, upstream, written)
    left_out = {judge["name"], *baselines.values()}
    models = [model for model in named if is_model_name(model) and model not in left_out]
    if not models:
        raise ConfigError(
            f"config: models: {config['models']} contains no model besides judge and baseline. "
            f"Answers are expected in {answers_dir}/"
        )
    against = "+".join(sorted(set(baselines.values())))
    settings = Settings(
        bench=bench,
        questions=questions,
        answers_dir=answers_dir,
        judgments_dir=Path(judgments_dir.replace("{baseline}", against)) / judge["name"],
        root=results_dir / bench / judge["name"],
        models=tuple(models),
        selected=_only(config.get("only"), models),
        baselines=baselines,
        judge=judge,
        walltime=WALLTIME | config.get("walltime", {}),
        leaderboard=_leaderboard(config.get("leaderboard", {}), bench, answers),
        odd_names=tuple(model for model in named if not is_model_name(model)),
        upstream=upstream,
        prompts=prompts,
        answers=answers,
        pilot=pilot,
        categories=categories,
        **{key: config[key] for key in DEFAULTS},
    )
    GameSettings.from_dict(settings.judgment_params())  # an error now, not in a job
    return settings


def _expand_home(value: Any, key: str = "") -> Any:
    """The config with `~` expanded in its paths."""
    if isinstance(value, dict):
        return {
            name: _expand_home(item, key if key in _PATHS else name) for name, item in value.items()
        }
    # pathlib's would raise for the ~ of an unknown user
    is_path = key in _PATHS and isinstance(value, str)
    return os.path.expanduser(value) if is_path else value  # noqa: PTH111


def _judge(
    ours: dict[str, Any], theirs: dict[str, Any], upstream: Upstream | None
) -> dict[str, Any]:
    name = ours.get("name") or theirs.get("judge_model")
    if not name:
        raise ConfigError("config: judge.name is missing: the name of the judge on its server")
    if check_model_name(name, where="config: judge.name") == "answers":
        raise ConfigError("config: judge.name: 'answers' is already the folder of the answers")
    block = upstream.block(name) if upstream else {}
    server = _server(ours, name, block)
    missing = "judge.endpoints is missing: server external needs at least one api_base"
    return {
        **server_of(ours, name, server, upstream, missing),
        **{key: ours.get(key) for key in ("context", "ask_again", "fold_system")},
        **({} if server == "external" else {"endpoints": None}),
        **request_params(ours, theirs, block),
        "reference": first_set("reference", ours, theirs) or None,
        "no_verdict_limit": first_set("no_verdict_limit", ours),
    }


def _server(ours: dict[str, Any], name: str, block: dict[str, Any]) -> str:
    """The kind of judge server: as configured, else derived from path, command and endpoints."""
    served = bool(ours.get("path") or ours.get("command"))
    server = ours.get("server")
    given = [f"judge.{key}" for key in ("path", "endpoints") if ours.get(key)]
    if server == "demo" and given:
        raise ConfigError(
            f"config: judge.server: demo is the embedded toy, which does not use "
            f"{' and '.join(given)}: remove judge.server or the other"
        )
    if not server and (served or ours.get("endpoints") or block):
        server = "vllm" if served and not ours.get("endpoints") else "external"
    if not server:
        raise ConfigError(
            "config: judge.server is missing, and so is everything it could be derived from: set "
            f"judge.path (for vllm) or judge.endpoints (for external), or add a block {name!r} to "
            "api_config.yaml"
        )
    if server == "vllm":  # an error now, not in a job
        script_of(ours | {"name": name, "server": server}, port=1, gpus=1)
    return server


def _pilot(
    config: Mapping[str, Any], bench: Sequence[Question]
) -> tuple[Pilot | None, frozenset[str]]:
    """The pilot that `questions` and `categories` describe, None if it has all questions; and the
    categories of its questions. Raises ConfigError for a category that no question has.
    """
    number, named = config.get("questions"), config.get("categories", ())
    categories = sorted({named} if isinstance(named, str) else set(named))
    _check_categories(categories, {question.category for question in bench}, "categories")
    pilot = Pilot(number, categories, 0 if number is None else config["seed"])
    chosen = pilot.choose(bench)
    whole = len(chosen) == len(bench)
    return None if whole else pilot, frozenset(question.category for question in chosen)


def _baselines(
    given: str | Mapping[str, str] | None, theirs: Mapping[str, Any], asked: set[str]
) -> dict[str, str]:
    """Category -> model. theirs: the settings of the checkout."""
    ours = _by_category(given, asked, "baseline")
    baselines = _used(_theirs(theirs, "baseline", ours) | ours, asked)
    if not baselines:
        raise ConfigError(
            "config: baseline is missing: the model that all others are compared with"
        )
    for model in baselines.values():
        check_model_name(model, where="config: baseline")
    return baselines


def _prompts(
    judge: Mapping[str, Any], theirs: Mapping[str, Any], asked: set[str], checkout: Path | None
) -> dict[str, Any]:
    """System prompt by category, user template, patterns: as texts.

    judge: the config's block. theirs: the settings of the checkout. Raises ConfigError also where
    our own prompts would be mixed with Arena-Hard-Auto's: such scores could not be compared.
    """
    own, key = own_prompts(WORKFLOW.parent / "config" / "prompts"), "judge.system_prompt"
    files = _by_category(judge.get("system_prompt"), asked, key)
    ours = {category: read_prompt(file, f"config: {key}: ") for category, file in files.items()}
    system, template = _theirs(theirs, "system_prompt", ours), theirs.get("prompt_template")
    is_theirs = bool(system or template)
    if file := judge.get("prompt_template"):
        is_theirs = bool(system)
        template = read_prompt(file, "config: judge.prompt_template: ")
    if system and not template:
        raise ConfigError(
            f"arena_hard_dir: {checkout} has system prompts but no prompt template for this bench. "
            "Rename its settings file to config/<bench>.yaml, add `bench_name: <bench>` to it, or "
            "set judge.prompt_template"
        )
    system = (system if is_theirs else own["system_prompt"]) | ours
    if ANY_CATEGORY not in system and (missing := sorted(asked.difference(system))):
        raise ConfigError(
            f"arena_hard_dir: {checkout} has no system prompt for the category {missing[0]!r} (it "
            f"has: {', '.join(sorted(system)) or 'none'}). Set judge.system_prompt: "
            f"{{{missing[0]}: FILE}}"
        )
    template = check_template(template or own["prompt_template"])
    used, reference = asks_for(template, "REFERENCE"), judge.get("reference")
    if used and not (reference or theirs.get("reference")):
        raise ConfigError(
            "config: judge.reference is missing: the model whose answers replace {REFERENCE} in "
            "the prompt template"
        )
    if reference and not used:
        raise ConfigError(
            f"config: judge.reference: {reference} is not used, because the prompt template has no "
            "{REFERENCE}"
        )
    patterns = judge.get("patterns") or theirs.get("regex_patterns") or list(DEFAULT_PATTERNS)
    check_patterns(patterns)  # an error now, not in a job
    system = _used(system, asked)
    return {"system_prompt": system, "prompt_template": template, "patterns": patterns}


def _by_category(
    given: str | Mapping[str, str] | None, asked: set[str], key: str
) -> dict[str, str]:
    by_category = {ANY_CATEGORY: given} if isinstance(given, str) and given else dict(given or {})
    _check_categories(by_category, asked and asked | {ANY_CATEGORY}, key)
    return by_category


def _check_categories(named: Iterable[str], known: set[str], key: str) -> None:
    for category in named if known else ():
        if category not in known:
            raise ConfigError(
                f"config: {key}: the questions have no category {category!r}"
                f"{did_you_mean(category, known)} (they have "
                f"{', '.join(sorted(known - {ANY_CATEGORY}))})"
            )


def _theirs(theirs: Mapping[str, Any], key: str, ours: Mapping[str, str]) -> dict[str, str]:
    """The checkout's entries by category; none if ours are for every category."""
    entries = {} if ANY_CATEGORY in ours else theirs.get("by_category", {})
    return {category: entry[key] for category, entry in entries.items()}


def _used(by_category: dict[str, str], asked: set[str]) -> dict[str, str]:
    """The entries of the categories asked, and "*" if one of these has none; all if unknown."""
    used = asked | ({ANY_CATEGORY} if asked - by_category.keys() else set())
    return {name: text for name, text in by_category.items() if name in used or not asked}


def _models(
    given: str | list[str], answers_dir: Path, upstream: Upstream | None, written: Sequence[str]
) -> list[str]:
    """Models of the key `models`. Odd names in a list are an error; those from elsewhere stay."""
    files = {path.stem for path in answers_dir.glob("*.jsonl")}
    answered = sorted(files.union(written), key=in_order)
    configured = sorted(upstream.api_config, key=in_order) if upstream else []
    if given == "all":
        return list(dict.fromkeys([*configured, *written])) if configured else answered
    names = given if isinstance(given, list) else _names_in(given)
    known = dict.fromkeys([*configured, *answered])
    return _expand(names, known, "models", odd=isinstance(given, str))


def _names_in(file: str) -> list[str]:
    """The names in a file, one per line."""
    path = Path(file)
    if not path.is_file():
        raise ConfigError(
            f"config: models: {file!r} is not a file in {Path.cwd()}. To name models write a list: "
            f"[{file}]"
        )
    lines = read_text(file, "config: models: ").splitlines()
    return [name for line in lines if (name := line.split("#")[0].strip())]


def _only(given: str | list[str] | None, models: list[str]) -> tuple[str, ...]:
    if given is None:
        return tuple(models)
    chosen = _expand([given] if isinstance(given, str) else given, models, "only", strict=True)
    return tuple(model for model in models if model in chosen)


def _expand(
    entries: list[str], known: Collection[str], key: str, *, odd: bool = False, strict: bool = False
) -> list[str]:
    """Names with globs expanded, in order, each once.

    odd: allow names that cannot be file names. strict: refuse names that are not known.
    """
    names: dict[str, None] = {}
    for entry in entries:
        found = [entry]
        if _GLOB & set(entry):
            found = fnmatch.filter(known, entry)
        elif not odd:
            check_model_name(entry, where=f"config: {key}")
        if not found:
            raise ConfigError(f"config: {key}: {entry} matches no model ({len(known)} are known)")
        if strict and not set(found) <= set(known):
            hint = did_you_mean(entry, known)
            raise ConfigError(f"config: {key}: {entry!r} is not one of the models{hint}")
        names |= dict.fromkeys(found)
    return list(names)


def _leaderboard(ours: dict[str, Any], bench: str, answers: Answers | None) -> dict[str, Any]:
    ours = {"steps": answers.steps if answers else None} | ours
    found = _LEADERBOARD | {"rule": default_rule(bench)} | ours
    if found["ci"] == "unanchored" and (found["rule"] != "v0.1" or found["control_features"]):
        raise ConfigError(
            "config: leaderboard.ci: unanchored needs leaderboard.rule v0.1 and no "
            "control_features; use upstream"
        )
    return found
