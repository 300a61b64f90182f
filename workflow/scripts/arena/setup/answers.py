"""The block `answers` of config.yaml: who writes the answers of which models, and how.

Precedence as for the judge: config.yaml, the model's block in Arena-Hard-Auto's api_config.yaml,
the defaults. What is not named here takes its answers as they are.
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
from arena.setup.settings import DEFAULTS, minutes_of, requested
from arena.setup.upstream import Upstream, read_endpoints
from arena.support.errors import ConfigError
from arena.support.files import load_yaml, read_text
from arena.support.names import check_model_name, did_you_mean

_SERVER = ("command", "setup", "parallel", "ready_minutes", "max_restarts")


@dataclass(frozen=True)
class Writer:
    """Who writes a model's answers, and how. path: folder of weights, "" where none is served.

    server: as `Settings.server_settings()`, of what listens; of a folder still without its command
    line's names. sampling: the request's fields besides model and messages.
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
        plain: list[Any] = [
            weights,
            self.template,
            self.system_prompt,
            self.end_think_token,
            self.sampling,
        ]
        if not self.path:
            named = ("name", "endpoints", "api_config")
            plain.append([self.server.get(key) for key in named])
        text = json.dumps(plain, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Answers:
    """writers: by model. steps: as `leaderboard.steps`, of names with {step}. root: of journals,
    batches and logs. redo: models whose answers are all asked once more; redo_states: which answers
    are, "empty" and "cut". stop_doubtful: give up a model whose first answers show that something
    is wrong. folder: where they are written, if not beside the others.
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
        """Walltime that the job of so many models, of so many servers, asks for."""
        return minutes_of(self.walltime, models, starts, attempt)


def resolve_answers(
    config: Mapping[str, Any], results: Path, upstream: Upstream | None, *, rehearsal: bool
) -> Answers | None:
    """The block `answers` completed; None without one. results: `<results_dir>/<bench>`.

    Raises ConfigError naming the key, or the file and key of the checkout.
    """
    ours = config.get("answers")
    if ours is None:
        return None
    folders = _folders(ours, upstream)
    toy = rehearsal or ours.get("server") == "demo"
    writers = {name: _writer(name, path, ours, upstream, toy) for name, path in folders.items()}
    redo = ours.get("redo") or ()
    named = frozenset(redo if not isinstance(redo, Mapping) else ())
    for name in sorted(named - set(writers)):
        raise ConfigError(
            f"config: answers.redo: {name!r}: no answers are made of a model of this "
            f"name{did_you_mean(name, writers)}"
        )
    given = ours.get("dir")
    states = {key for key in ("empty", "cut") if isinstance(redo, Mapping) and redo.get(key)}
    return Answers(
        writers=writers,
        root=results / "answers",
        batch_size=ours.get("batch_size", DEFAULTS["batch_size"]),
        redo=named,
        redo_states=frozenset(states),
        steps=next(
            map(_steps, filter(lambda name: "{step}" in name, ours.get("models") or ())), None
        ),
        newest_first=ours.get("newest_first", False),
        stop_doubtful=ours.get("stop_doubtful", False),
        folder=results / "model_answer" if rehearsal else Path(given) if given else None,
        walltime={
            key: ours.get("walltime", {}).get(
                key, config.get("walltime", {}).get(key, DEFAULTS[key])
            )
            for key in ("start_minutes", "minutes_per_model", "max_minutes")
        },
    )


def _folders(ours: Mapping[str, Any], upstream: Upstream | None) -> dict[str, str]:
    """Model -> its folder; "" where endpoints write. Placeholders make one of each that fits."""
    found: dict[str, str] = {}
    given = ours.get("models")
    if given is None:
        if upstream is None:
            raise ConfigError("config: answers.models is missing: a name and its folder of weights")
        given = _model_list(upstream)
    if not isinstance(given, Mapping):
        given = dict.fromkeys(given, None)
    for name, folder in given.items():
        if folder and "{" in name:
            more = {one: str(path) for one, path in expand(name, folder).items()}
            if not more:
                raise ConfigError(f"config: answers.models: {name}: no folder is like {folder}")
        else:
            block = upstream.block(name) if upstream else {}
            theirs = str(block.get("model", ""))
            more = {name: str(folder or (theirs if Path(theirs).is_dir() else ""))}
        for one, path in more.items():
            check_model_name(one, where="config: answers.models")
            if found.setdefault(one, path) != path:
                raise ConfigError(
                    f"config: answers.models: two folders for {one}: {found[one]} and {path}"
                )
    return found


def _steps(name: str) -> str:
    """The regular expression of the names that a name with {step} and perhaps {run} makes."""
    groups = {"run": "(?P<run>.+)", "step": "(?P<step>[^-_]+)"}
    parts = re.split(r"\{(\w+)\}", name)
    texts = [groups.get(part, ".+") if i % 2 else re.escape(part) for i, part in enumerate(parts)]
    return "^" + "".join(texts) + "$"


def _model_list(upstream: Upstream) -> list[str]:
    file = upstream.directory / "config" / "gen_answer_config.yaml"
    loaded = load_yaml(read_text(file), file) or {}
    names = loaded.get("model_list") if isinstance(loaded, dict) else None
    if not isinstance(names, list) or not names:
        raise ConfigError(f"{file}: model_list names no model; or set answers.models")
    return [str(name) for name in names]


def _writer(
    name: str, folder: str, ours: Mapping[str, Any], upstream: Upstream | None, toy: bool
) -> Writer:
    block = upstream.block(name) if upstream else {}

    def first(key: str) -> Any:
        found = (ours.get(key), block.get(key), DEFAULTS.get(key))
        return next((value for value in found if value is not None), None)

    server: dict[str, Any] = {key: first(key) for key in _SERVER} | {
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
        if not block or not upstream:
            raise ConfigError(
                f"config: answers.models: {name}: give its folder of weights, answers.endpoints"
                + (f", or a block {name!r} in {upstream.api_config_file}" if upstream else "")
            )
        server["api_config"] = str(upstream.api_config_file)
        read_endpoints(upstream.api_config_file, name, ours.get("api_type"))
    template = ours.get("chat_template")
    if isinstance(template, Mapping):
        fits = (file for glob, file in template.items() if fnmatch.fnmatch(name, glob))
        template = next(fits, None)
    if template:
        read_text(template, "config: answers.chat_template: ")  # refused here, not in a job
    system = ours.get("system_prompt")
    return Writer(
        server,
        folder,
        base=ours.get("base"),
        chat_template=template,
        system_prompt=read_text(system, "config: answers.system_prompt: ").strip()
        if system
        else block.get("sys_prompt"),
        end_think_token=first("end_think_token"),
        sampling=sampling_of(requested(ours, block), "answers"),
    )
