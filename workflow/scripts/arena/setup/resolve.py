"""Complete config.yaml from the user's Arena-Hard-Auto checkout.

Order of precedence, highest first: command line, config.yaml (Snakemake merges these two),
Arena-Hard-Auto's settings file of the bench, its api_config.yaml, the defaults below.
"""

import fnmatch
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from arena.data.prompts import check_template, own_prompts
from arena.data.questions import read_questions
from arena.data.verdict import DEFAULT_PATTERNS, compile_pattern, default_rule
from arena.serving.launch import script_of
from arena.setup.settings import Settings
from arena.setup.upstream import Upstream, check_api_type
from arena.support.errors import ArenaError, ConfigError
from arena.support.names import check_model_name, did_you_mean, in_order

_AS_GIVEN = ("path", "setup", "command", "context", "ask_again", "priority", "timeout_s")
DEFAULTS = {
    "data_dir": "data",
    "results_dir": "results",
    "batch_size": 10,  # what one server's cache shares best: see docs/traffic.md
    "seed": 42,
    "missing_answers": "skip",
    "baseline_gaps": "drop",
    "temperature": 0.0,
    "max_tokens": 4096,
    "max_restarts": 3,
    "ready_minutes": 30,  # a 70B from a busy parallel file system took up to 20
    "start_minutes": 20,
    "minutes_per_model": 12,  # 70B FP8 on one H100: 1,500 games at about 2 a second
    "max_minutes": math.inf,
    "weight": 3,
    "rounds": 1000,
    "ci": "questions",
}


def resolve(config: dict[str, Any], prompts_dir: Path) -> Settings:
    """Complete a checked config.

    Parameters
    ----------
    config
        As merged by Snakemake and accepted by `check_config`.
    prompts_dir
        Folder of our own prompts, used without an Arena-Hard-Auto checkout.

    Raises
    ------
    ConfigError
        Naming the key, or the file and key of the Arena-Hard-Auto checkout.
    """
    upstream = Upstream(Path(config["arena_hard_dir"])) if config.get("arena_hard_dir") else None
    bench = config["bench"]
    check_model_name(bench, where="config: bench")
    theirs = upstream.settings(bench) if upstream else {}
    judge = _judge(config["judge"], theirs, upstream)
    rehearsal = bool(config.get("rehearsal"))
    data_dir = Path(
        config.get("data_dir") or (upstream.data_dir if upstream else DEFAULTS["data_dir"])
    )
    results_dir = Path(config.get("results_dir") or DEFAULTS["results_dir"])
    judgments_dir = config.get("judgments_dir") or str(data_dir / bench / "model_judgment")
    if rehearsal:
        judge |= {"server": "demo", "endpoints": None, "command": None, "setup": None}
        results_dir /= "rehearsal"
        judgments_dir = str(results_dir / "model_judgment")
    questions = data_dir / bench / "question.jsonl"
    baselines = _baselines(config.get("baseline"), upstream, bench, questions)
    answers_dir = data_dir / bench / "model_answer"
    models = _models(config["models"], answers_dir, upstream)
    left_out = {judge["name"], *baselines.values()}
    models = tuple(model for model in models if model not in left_out)
    if not models:
        raise ConfigError(
            f"config: models: {config['models']} names none besides judge and baseline; answers "
            f"are looked for in {answers_dir}/"
        )
    named = "+".join(sorted(set(baselines.values())))
    return Settings(
        bench=bench,
        questions=questions,
        answers_dir=answers_dir,
        judgments_dir=Path(judgments_dir.replace("{baseline}", named)) / judge["name"],
        root=results_dir / bench / judge["name"],
        models=models,
        selected=_only(config.get("only"), models),
        baselines=baselines,
        judge=judge,
        walltime={
            key: config.get("walltime", {}).get(key, DEFAULTS[key])
            for key in ("start_minutes", "minutes_per_model", "max_minutes")
        },
        budget=config.get("budget", {}),
        gpu_hour_cost=config.get("gpu_hour_cost"),
        leaderboard=_leaderboard(config.get("leaderboard", {}), bench),
        rehearsal=rehearsal,
        upstream=upstream,
        prompts=_prompts(config["judge"], theirs, upstream, bench, questions, prompts_dir),
        **{
            key: config.get(key, DEFAULTS[key])
            for key in ("batch_size", "seed", "missing_answers", "baseline_gaps")
        },
    )


def _judge(
    ours: dict[str, Any], theirs: dict[str, Any], upstream: Upstream | None
) -> dict[str, Any]:
    name = ours.get("name") or theirs.get("judge_model")
    if not name:
        raise ConfigError("config: judge.name is missing: the judge's name as its server lists it")
    check_model_name(name, where="config: judge.name")
    block = upstream.api_config().get(name, {}) if upstream else {}
    server = _server(ours, name, block)
    api_config = None
    if server == "external" and not ours.get("endpoints"):
        if not block:
            raise ConfigError(
                "config: judge.endpoints is missing: server external needs at least one api_base"
                + (f", or a block {name!r} in {upstream.api_config_file}" if upstream else "")
            )
        upstream.endpoints(name)  # checked now, read again by the server: keys stay in their file
        api_config = str(upstream.api_config_file)
    check_api_type(ours.get("api_type"), "config: judge.api_type")

    def first(key: str, *sources: dict[str, Any]) -> Any:
        found = (source[key] for source in (ours, *sources) if source.get(key) is not None)
        return next(found, DEFAULTS.get(key))

    return {
        "name": name,
        "server": server,
        "endpoints": ours.get("endpoints") or None,
        "api_config": api_config,
        **{key: ours.get(key) for key in _AS_GIVEN},
        "env": {key: str(value) for key, value in (ours.get("env") or {}).items()},
        "sampling": ours.get("sampling") or {},
        "temperature": float(first("temperature", theirs, block)),
        "max_tokens": int(first("max_tokens", theirs, block)),
        "parallel": first("parallel", block),
        "reference": first("reference", theirs) or None,
        "max_restarts": first("max_restarts"),
        "ready_minutes": first("ready_minutes"),
    }


def _server(ours: dict[str, Any], name: str, block: dict[str, Any]) -> str:
    """The kind of judge server: as told, or by what is there to serve or to ask."""
    if ours.get("server"):
        server = ours["server"]
    elif ours.get("endpoints"):
        server = "external"
    elif ours.get("path") or ours.get("command"):
        server = "vllm"
    elif block:
        server = "external"
    else:
        raise ConfigError(
            "config: judge.server is missing and cannot be told: give judge.path (weights, server: "
            f"vllm), judge.endpoints (server: external), or a block {name!r} in api_config.yaml"
        )
    if server == "vllm":
        if not (ours.get("path") or ours.get("command")):
            raise ConfigError(
                "config: judge.path is missing: server vllm needs the judge's weights"
            )
        script_of(
            {**ours, "name": name, "server": server}, port=1, gpus=1
        )  # refuses a bad template
    return server


def _prompts(
    ours: dict[str, Any],
    theirs: dict[str, Any],
    upstream: Upstream | None,
    bench: str,
    questions: Path,
    prompts_dir: Path,
) -> dict[str, Any]:
    """System prompt by category ("*" for all others), user template, patterns: as texts."""
    own = own_prompts(prompts_dir)
    system = dict(own.system)
    by_category = upstream.judge_settings(bench) if upstream else {}
    system |= {name: entry["system_prompt"] for name, entry in by_category.items()}
    given = ours.get("system_prompt")
    texts = {}
    if given is not None:
        files = given if isinstance(given, dict) else {"*": given}
        texts = {name: _text(file, "judge.system_prompt") for name, file in files.items()}
        system = texts if "*" in texts else system | texts
    if by_category and "*" not in (by_category | texts):
        _check_categories(questions, by_category | texts, upstream)
    template = theirs.get("prompt_template") or own.template
    if ours.get("prompt_template"):
        template = _text(ours["prompt_template"], "judge.prompt_template")
    template = check_template(template)
    shown = "{REFERENCE}" in template
    if shown and not (ours.get("reference") or theirs.get("reference")):
        raise ConfigError(
            "config: judge.reference is missing: the model whose answers fill {REFERENCE} of the "
            "prompt template"
        )
    if ours.get("reference") and not shown:
        raise ConfigError(
            f"config: judge.reference: {ours['reference']} would never be seen: the prompt "
            "template has no {REFERENCE}"
        )
    patterns = ours.get("patterns") or theirs.get("regex_patterns") or list(DEFAULT_PATTERNS)
    for pattern in patterns:
        compile_pattern(pattern)  # refuses a bad one now, not in a job
    return {"system_prompt": system, "prompt_template": template, "patterns": patterns}


def _check_categories(questions: Path, known: Iterable[str], upstream: Upstream) -> None:
    """Never mix our own prompt into a bench that is judged with Arena-Hard-Auto's."""
    try:
        asked = {question.category for question in read_questions(questions)}
    except ArenaError:
        return  # for the validation to report
    for category in sorted(asked.difference(known)):
        raise ConfigError(
            f"{questions}: JUDGE_SETTINGS of {upstream.directory} has no category {category!r} "
            f"({', '.join(sorted(known))}); give its system prompt: config, judge.system_prompt, "
            f"{{{category}: FILE}}"
        )


def _text(file: str, key: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"config: {key}: cannot read {file}: {error.strerror}") from error


def _baselines(
    given: str | dict[str, str] | None, upstream: Upstream | None, bench: str, questions: Path
) -> dict[str, str]:
    if isinstance(given, dict):
        baselines = dict(given)
    elif given:
        baselines = {"*": given}
    else:
        by_category = upstream.judge_settings(bench) if upstream else {}
        asked = {question.category for question in read_questions(questions)} | {"*"}
        baselines = {
            name: entry["baseline"] for name, entry in by_category.items() if name in asked
        }
    if not baselines:
        raise ConfigError(
            "config: baseline is missing: the model that all others are compared with"
        )
    for model in baselines.values():
        check_model_name(model, where="config: baseline")
    return baselines


def _models(
    given: str | list[str], answers_dir: Path, upstream: Upstream | None
) -> tuple[str, ...]:
    answered = sorted((path.stem for path in answers_dir.glob("*.jsonl")), key=in_order)
    configured = sorted(upstream.api_config(), key=in_order) if upstream else []
    if given == "all":
        return tuple(configured or answered)
    if isinstance(given, str):
        lines = _text(given, "models").splitlines()
        given = [name for line in lines if (name := line.split("#")[0].strip())]
    known = list(dict.fromkeys([*configured, *answered]))
    return tuple(_expand(given, known, key="models", strict=False))


def _only(given: str | list[str] | None, models: tuple[str, ...]) -> tuple[str, ...]:
    if given is None:
        return models
    chosen = set(
        _expand([given] if isinstance(given, str) else given, models, key="only", strict=True)
    )
    return tuple(model for model in models if model in chosen)


def _expand(entries: Iterable[str], known: Iterable[str], *, key: str, strict: bool) -> list[str]:
    """Names with globs filled in, in order, each once; `strict` refuses unknown names."""
    known = list(known)
    names: dict[str, None] = {}
    for entry in entries:
        if any(sign in entry for sign in "*?["):
            matches = fnmatch.filter(known, entry)
            if not matches:
                raise ConfigError(
                    f"config: {key}: {entry} matches no model ({len(known)} are known)"
                )
            names |= dict.fromkeys(matches)
            continue
        check_model_name(entry, where=f"config: {key}")
        if strict and entry not in known:
            hint = did_you_mean(entry, known)
            raise ConfigError(f"config: {key}: {entry!r} is not one of the models{hint}")
        names[entry] = None
    return list(names)


def _leaderboard(ours: dict[str, Any], bench: str) -> dict[str, Any]:
    if ours.get("steps"):
        # here: it loads numpy, and every job comes by
        from arena.ranking.curves import compile_steps

        compile_steps(ours["steps"])  # refuses a bad pattern now, not after the campaign
    return {
        "rule": ours.get("rule", default_rule(bench)),
        **{key: ours.get(key, DEFAULTS[key]) for key in ("weight", "rounds", "ci")},
        "control_features": ours.get("control_features", []),
        "steps": ours.get("steps"),
    }
