"""The block `answers` of config.yaml: which models' answers are generated, and by which servers.

Precedence as for the judge: config.yaml, the model's block in Arena-Hard-Auto's api_config.yaml,
the defaults. Models that the block does not name use their existing answers.
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.data.checkpoints import expand
from arena.data.games import sampling_of
from arena.setup.settings import (
    DEFAULTS,
    WALLTIME,
    first_set,
    job_minutes,
    request_params,
    with_defaults,
)
from arena.setup.upstream import Upstream, checked_api_config
from arena.support.errors import ConfigError
from arena.support.files import load_yaml, read_text
from arena.support.names import check_model_name, did_you_mean


@dataclass(frozen=True)
class Writer:
    """What generates a model's answers, and how. path: folder of weights, "" for endpoints.

    server: as `Settings.server_settings()`, still without the options for adapters and templates.
    sampling: fields of each request besides model and messages.
    """

    server: dict[str, Any]
    path: str = ""
    base: str | None = None
    chat_template: str | None = None
    system_prompt: str | None = None
    end_think_token: str | None = None
    sampling: dict[str, Any] = field(default_factory=dict)

    @property
    def template(self) -> str | None:
        """The text of `chat_template`."""
        return read_text(self.chat_template) if self.chat_template else None

    def digest(self, weights: str) -> str:
        """Of all that determines the answers besides the questions. weights: digest of `path`."""
        prompt = [self.template, self.system_prompt, self.end_think_token, self.sampling]
        plain: list[Any] = [weights, *prompt]
        if not self.path:
            plain.append([self.server.get(key) for key in ("name", "endpoints", "api_config")])
        text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Answers:
    """The block, complete.

    writers: by model. root: folder of journals, batches and logs. redo: models whose answers are
    all generated again. redo_states: other answers that are, "empty" and "cut". stop_doubtful: stop
    a model whose first answers look wrong. steps: as `leaderboard.steps`, for names with {step}.
    folder: where answers are written, None for the bench's own folder.
    """

    writers: dict[str, Writer]
    root: Path
    batch_size: int
    redo: frozenset[str]
    redo_states: frozenset[str]
    stop_doubtful: bool
    steps: str | None
    newest_first: bool
    walltime: dict[str, float]
    folder: Path | None = None

    def job_minutes(self, models: int, starts: int, attempt: int = 1) -> float:
        """Walltime of a job for so many models, which starts so many servers."""
        return job_minutes(self.walltime, models, starts, attempt)


def resolve_answers(
    config: Mapping[str, Any], results: Path, upstream: Upstream | None, *, rehearsal: bool
) -> Answers | None:
    """The block `answers` completed; None without one. results: `<results_dir>/<bench>`.

    Raises ConfigError naming the key, or the file and key of the checkout.
    """
    ours = config.get("answers")
    if ours is None:
        return None
    toy = rehearsal or ours.get("server") == "demo"
    writers = {
        name: _writer(name, path, ours, upstream, toy)
        for name, path in _folders(ours, upstream).items()
    }
    redo = ours.get("redo") or ()
    states = {key for key, wanted in redo.items() if wanted} if isinstance(redo, Mapping) else ()
    models = () if isinstance(redo, Mapping) else redo
    if unknown := sorted(set(models) - writers.keys()):
        raise ConfigError(
            f"config: answers.redo: {unknown[0]!r} is not one of answers.models"
            f"{did_you_mean(unknown[0], writers)}"
        )
    with_step = [name for name in ours.get("models") or () if "{step}" in name]
    folder = results / "model_answer" if rehearsal else ours.get("dir")
    return Answers(
        writers=writers,
        root=results / "answers",
        batch_size=ours.get("batch_size", DEFAULTS["batch_size"]),
        redo=frozenset(models),
        redo_states=frozenset(states),
        steps=_steps(with_step[0]) if with_step else None,
        newest_first=ours.get("newest_first", False),
        stop_doubtful=ours.get("stop_doubtful", False),
        folder=Path(folder) if folder else None,
        walltime=with_defaults(config.get("walltime", {}) | ours.get("walltime", {}), *WALLTIME),
    )


def _folders(ours: Mapping[str, Any], upstream: Upstream | None) -> dict[str, str]:
    """Model -> folder of its weights, "" for endpoints; a model for each folder that matches."""
    found: dict[str, str] = {}
    models = ours.get("models")
    if models is None:
        if upstream is None:
            raise ConfigError("config: answers.models is missing: {name: folder of weights}")
        models = _model_list(upstream)
    if not isinstance(models, Mapping):
        models = dict.fromkeys(models)
    for name, folder in models.items():
        if folder and "{" in name:
            more = {one: str(path) for one, path in expand(name, folder).items()}
            if not more:
                raise ConfigError(f"config: answers.models: {name}: no folder matches {folder}")
        else:
            theirs = str(upstream.block(name).get("model", "")) if upstream else ""
            more = {name: str(folder or (theirs if Path(theirs).is_dir() else ""))}
        for one, path in more.items():
            check_model_name(one, where="config: answers.models")
            if found.setdefault(one, path) != path:
                raise ConfigError(
                    f"config: answers.models: two folders for {one}: {found[one]} and {path}"
                )
    return found


def _steps(name: str) -> str:
    """Regular expression of the names that a name with {step} and perhaps {run} stands for."""
    groups = {"run": "(?P<run>.+)", "step": "(?P<step>[^-_]+)"}
    parts = re.split(r"\{(\w+)\}", name)
    texts = [groups.get(part, ".+") if i % 2 else re.escape(part) for i, part in enumerate(parts)]
    return "^" + "".join(texts) + "$"


def _model_list(upstream: Upstream) -> list[str]:
    file = upstream.directory / "config" / "gen_answer_config.yaml"
    loaded = load_yaml(read_text(file), file)
    names = loaded.get("model_list") if isinstance(loaded, dict) else None
    if not isinstance(names, list) or not names:
        raise ConfigError(f"{file}: model_list contains no model. Add some, or set answers.models")
    return [str(name) for name in names]


def _writer(
    name: str, folder: str, ours: Mapping[str, Any], upstream: Upstream | None, toy: bool
) -> Writer:
    block = upstream.block(name) if upstream else {}
    keys = ("command", "setup", "parallel", "ready_minutes", "max_restarts")
    server: dict[str, Any] = {
        **{key: first_set(key, ours, block) for key in keys},
        "name": name,
        "server": "vllm" if folder else "external",
        "path": folder or None,
        "env": {key: str(value) for key, value in (ours.get("env") or {}).items()},
        "api_config": None,
        **{key: ours.get(key) for key in ("endpoints", "api_type", "timeout_s")},
    }
    if toy:
        server |= {"server": "demo", "command": None, "setup": None, "endpoints": None}
    elif not folder and not ours.get("endpoints"):
        missing = f"answers.models: {name}: set its folder of weights, or answers.endpoints"
        server["api_config"] = checked_api_config(upstream, name, ours.get("api_type"), missing)
    template = ours.get("chat_template")
    if isinstance(template, Mapping):
        matching = (file for glob, file in template.items() if fnmatch.fnmatch(name, glob))
        template = next(matching, None)
    if template:
        read_text(template, "config: answers.chat_template: ")  # an error now, not in a job
    system = ours.get("system_prompt")
    return Writer(
        server,
        folder,
        base=ours.get("base"),
        chat_template=template,
        system_prompt=read_text(system, "config: answers.system_prompt: ").strip()
        if system
        else block.get("sys_prompt"),
        end_think_token=first_set("end_think_token", ours, block),
        sampling=sampling_of(request_params(ours, block), "answers"),
    )
