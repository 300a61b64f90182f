"""Complete config.yaml from the user's Arena-Hard-Auto checkout.

Order of precedence, highest first: command line, config.yaml (Snakemake merges these two),
Arena-Hard-Auto's settings file of the bench, its api_config.yaml, the defaults in `settings`.
"""

import fnmatch
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from arena.data.checkpoints import compile_steps
from arena.data.games import GameSettings
from arena.data.prompts import asks_for
from arena.data.questions import Question, read_questions
from arena.data.verdict import default_rule
from arena.setup.answers import Answers, resolve_answers
from arena.setup.by_category import choose_baselines, choose_pilot, choose_prompts
from arena.setup.judge_command import script_of
from arena.setup.paths import expand_paths
from arena.setup.settings import (
    DEFAULTS,
    WALLTIME,
    Settings,
    first_set,
    request_params,
    with_defaults,
)
from arena.setup.upstream import Upstream, check_api_type, checked_api_config
from arena.support.errors import ArenaError, ConfigError
from arena.support.files import read_text
from arena.support.names import check_model_name, did_you_mean, in_order, is_model_name

_GLOB = set("*?[")


def resolve(config: dict[str, Any], prompts_dir: Path) -> Settings:
    """Complete a config that `check_config` has accepted. prompts_dir: folder of our own prompts.

    Raises ConfigError naming the key, or the file and key of the checkout.
    """
    config = expand_paths(config)
    upstream = Upstream(Path(config["arena_hard_dir"])) if config.get("arena_hard_dir") else None
    bench = check_model_name(config["bench"], where="config: bench")
    theirs = upstream.settings(bench) if upstream else {}
    entries = upstream.judge_settings(bench) if upstream else {}
    judge = _judge(config["judge"], theirs, upstream)
    checkout = upstream.directory if upstream else None
    data_dir = Path(config.get("data_dir") or (checkout or Path()) / DEFAULTS["data_dir"])
    if not (data_dir / bench).is_dir():
        near = did_you_mean(bench, (path.name for path in data_dir.glob("*")))
        raise ConfigError(f"config: bench: there is no folder {data_dir / bench}/{near}")
    results_dir = Path(config.get("results_dir") or DEFAULTS["results_dir"])
    judgments_dir = config.get("judgments_dir") or str(data_dir / bench / "model_judgment")
    if config.get("rehearsal"):
        judge |= {"server": "demo", "endpoints": None, "command": None, "setup": None}
        results_dir /= "rehearsal"
        judgments_dir = str(results_dir / "model_judgment")
    questions = data_dir / bench / "question.jsonl"
    bench_questions: list[Question] = []
    with suppress(ArenaError):  # the validation reports questions that cannot be read
        bench_questions = read_questions(questions)
    asked = {question.category for question in bench_questions}
    pilot, categories = choose_pilot(config, config.get("seed", DEFAULTS["seed"]), bench_questions)
    baselines = choose_baselines(config.get("baseline"), entries, asked)
    prompts = choose_prompts(config["judge"], theirs, entries, asked, checkout, prompts_dir)
    if not asks_for(prompts["prompt_template"], "REFERENCE"):
        judge["reference"] = None  # the checkout may name one that its template does not use
    answers_dir = data_dir / bench / "model_answer"
    answers = resolve_answers(
        config, results_dir / bench, upstream, rehearsal=bool(config.get("rehearsal"))
    )
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
        walltime=with_defaults(config.get("walltime", {}), *WALLTIME),
        budget=config.get("budget", {}),
        gpu_hour_cost=config.get("gpu_hour_cost"),
        leaderboard=_leaderboard(config.get("leaderboard", {}), bench, answers),
        odd_names=tuple(model for model in named if not is_model_name(model)),
        upstream=upstream,
        prompts=prompts,
        answers=answers,
        pilot=pilot,
        categories=categories,
        **with_defaults(
            config, "batch_size", "retries", "seed", "missing_answers", "baseline_gaps"
        ),
    )
    GameSettings.from_dict(settings.judgment_params())  # an error now, not in a job
    return settings


def _judge(
    ours: dict[str, Any], theirs: dict[str, Any], upstream: Upstream | None
) -> dict[str, Any]:
    name = ours.get("name") or theirs.get("judge_model")
    if not name:
        raise ConfigError("config: judge.name is missing: the name of the judge on its server")
    if check_model_name(name, where="config: judge.name") == "answers":
        raise ConfigError("config: judge.name: 'answers' is already the folder of the answers")
    check_api_type(ours.get("api_type"), "config: judge.api_type")
    block = upstream.block(name) if upstream else {}
    server = _server(ours, name, block)
    api_config = None
    if server == "external" and not ours.get("endpoints"):
        missing = "judge.endpoints is missing: server external needs at least one api_base"
        api_config = checked_api_config(upstream, name, ours.get("api_type"), missing)
    as_given = ("path", "setup", "command", "api_type", "context", "ask_again", "timeout_s")
    with_default = ("max_restarts", "no_verdict_limit", "ready_minutes")
    return {
        "name": name,
        "server": server,
        "endpoints": ours.get("endpoints") if server == "external" else None,
        "api_config": api_config,
        **{key: ours.get(key) for key in (*as_given, "fold_system")},
        "env": {key: str(value) for key, value in (ours.get("env") or {}).items()},
        **request_params(ours, theirs, block),
        "parallel": first_set("parallel", ours, block),
        "reference": first_set("reference", ours, theirs) or None,
        **{key: first_set(key, ours) for key in with_default},
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
    if server == "vllm":
        if not served:
            raise ConfigError(
                "config: judge.path is missing: server vllm needs the judge's weights"
            )
        script_of(
            ours | {"name": name, "server": server}, port=1, gpus=1
        )  # an error now, not later
    return server


def _models(
    given: str | list[str], answers_dir: Path, upstream: Upstream | None, written: Sequence[str]
) -> list[str]:
    """Models of the key `models`. Odd names in a list are an error; those from elsewhere stay."""
    found = {path.stem for path in answers_dir.glob("*.jsonl")}
    answered = sorted(found.union(written), key=in_order)
    configured = sorted(upstream.api_config, key=in_order) if upstream else []
    if given == "all":
        return list(dict.fromkeys([*configured, *written])) if configured else answered
    known = dict.fromkeys([*configured, *answered])
    if isinstance(given, list):
        return _expand(given, known, "models")
    return _expand(_names_in(given), known, "models", odd=True)


def _names_in(file: str) -> list[str]:
    """The names in a file, one per line."""
    path = Path(file)
    if not path.is_file():
        gone = ("/" in file or path.suffix) and not path.exists() and not _GLOB & set(file)
        what = f"{file}: no such file in {Path.cwd()}" if gone else f"{file!r} is not a file"
        raise ConfigError(f"config: models: {what}. To name models write a list: [{file}]")
    lines = read_text(file, "config: models: ").splitlines()
    names = [name for line in lines if (name := line.split("#")[0].strip())]
    if not names:
        raise ConfigError(f"config: models: {file}: the file contains no model name")
    return names


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
    if ours.get("steps"):
        compile_steps(ours["steps"])  # an error now, not after the campaign
    keys = ("weight", "rounds", "ci", "ranks", "tokens", "control_features", "steps")
    found = {"rule": ours.get("rule", default_rule(bench)), **with_defaults(ours, *keys)}
    if found["ci"] == "unanchored" and (found["rule"] != "v0.1" or found["control_features"]):
        raise ConfigError(
            "config: leaderboard.ci: unanchored needs leaderboard.rule v0.1 and no "
            "control_features; use upstream"
        )
    return found
