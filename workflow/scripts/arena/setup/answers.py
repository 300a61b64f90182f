"""The block `answers` of config.yaml: which models' answers are generated, and by which servers.

Precedence as for the judge: config.yaml, the model's block in Arena-Hard-Auto's api_config.yaml,
the defaults. Models that the block does not name use their existing answers.
"""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arena.data.games import sampling_of
from arena.setup.settings import TOY, WALLTIME, first_set, request_params, server_of, short_hash
from arena.setup.upstream import Upstream
from arena.support.errors import ConfigError
from arena.support.files import load_yaml, read_text
from arena.support.names import check_model_name, did_you_mean, in_order

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")


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
        return short_hash(plain)


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


def resolve_answers(
    config: Mapping[str, Any], results: Path, upstream: Upstream | None
) -> Answers | None:
    """The block `answers` completed; None without one. results: `<results_dir>/<bench>`.

    Raises ConfigError naming the key, or the file and key of the checkout.
    """
    ours = config.get("answers")
    if ours is None:
        return None
    rehearsal = config.get("rehearsal", False)
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
        batch_size=ours.get("batch_size", 10),  # the same as for judgments
        redo=frozenset(models),
        redo_states=frozenset(states),
        steps=f"^{_pattern(with_step[0], step='[^-_]+')}$" if with_step else None,
        newest_first=ours.get("newest_first", False),
        stop_doubtful=ours.get("stop_doubtful", False),
        folder=Path(folder) if folder else None,
        walltime=WALLTIME | config.get("walltime", {}) | ours.get("walltime", {}),
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
        if folder:
            more = expand(name, folder)
            if not more:
                raise ConfigError(f"config: answers.models: {name}: no folder matches {folder}")
        else:
            theirs = str(upstream.block(name).get("model", "")) if upstream else ""
            more = [(name, theirs if Path(theirs).is_dir() else "")]
        for one, path in more:
            check_model_name(one, where=f"config: answers.models: {path}")
            if found.setdefault(one, path) != path:
                raise ConfigError(
                    f"config: answers.models: two folders for {one}: {found[one]} and {path}; add "
                    "a placeholder to the name that differs between them"
                )
    return found


def expand(name: str, folder: str) -> list[tuple[str, str]]:
    """(model name, folder), for a name and a path with the same {placeholders}.

    A placeholder matches one or more characters within one part of the path; where it occurs
    twice, both must be equal. Without placeholders: the one folder, even if it does not exist.
    """
    known = set(_PLACEHOLDER.findall(folder))
    if unknown := sorted(set(_PLACEHOLDER.findall(name)) - known):
        raise ConfigError(
            f"config: answers.models: {name}: the path {folder} has no placeholder "
            f"{{{unknown[0]}}}; it has {', '.join(sorted(known)) or 'none'}"
        )
    found: list[tuple[Path, dict[str, str]]] = [(Path(), {})]
    try:
        for part in Path(folder).parts:
            found = [more for path, values in found for more in _matches(path, part, values)]
        found = [one for one in found if one[0].is_dir() or not one[1]]
    except OSError as error:
        raise ConfigError(
            f"config: answers.models: {name}: {error.filename}: cannot be read: {error.strerror}"
        ) from error
    models = [(_filled(name, values), str(path)) for path, values in found]
    return sorted(models, key=lambda item: in_order(item[0]))


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def _matches(path: Path, part: str, values: dict[str, str]) -> list[tuple[Path, dict[str, str]]]:
    """What matches one part of a path in the folder `path`, and the values of its placeholders
    added to `values`, those of the parts above.
    """
    part = _filled(part, values)
    if not _PLACEHOLDER.search(part):
        return [(path / part, values)]
    not_hidden = r"(?!\.)" if part.startswith("{") else ""
    pattern = re.compile(not_hidden + _pattern(part), re.DOTALL)
    entries = path.iterdir() if path.is_dir() else ()
    matches = [(entry, pattern.fullmatch(entry.name)) for entry in entries]
    return [(entry, values | match.groupdict()) for entry, match in matches if match]


def _pattern(text: str, step: str = ".+") -> str:
    """Regular expression of a text with {placeholders}, each a group. step: what {step} matches."""
    begin, *rest = _PLACEHOLDER.split(text)  # text, name, text, name, ..., text
    pattern = re.escape(begin)
    for place, (name, after) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
        group = f"(?P<{name}>{step if name == 'step' else '.+'})"
        is_known = name in rest[: 2 * place : 2]
        pattern += (f"(?P={name})" if is_known else group) + re.escape(after)
    return pattern


def _model_list(upstream: Upstream) -> list[str]:
    file = upstream.directory / "config" / "gen_answer_config.yaml"
    loaded = load_yaml(read_text(file), file, unique=False)
    names = loaded.get("model_list") if isinstance(loaded, dict) else None
    if not isinstance(names, list) or not names:
        raise ConfigError(f"{file}: model_list contains no model. Add some, or set answers.models")
    return [str(name) for name in names]


def _writer(
    name: str, folder: str, ours: Mapping[str, Any], upstream: Upstream | None, toy: bool
) -> Writer:
    block = upstream.block(name) if upstream else {}
    kind = "demo" if toy else "vllm" if folder else "external"
    missing = f"answers.models: {name}: set its folder of weights, or answers.endpoints"
    server = server_of(ours, name, kind, upstream, missing) | {"path": folder or None}
    if toy:
        server |= TOY
    templates = ours.get("chat_template") or {}
    templates = templates if isinstance(templates, Mapping) else {"*": templates}
    template = next((templates[glob] for glob in templates if fnmatch.fnmatch(name, glob)), None)
    if template:
        read_text(template, "config: answers.chat_template: ")  # an error now, not in a job
    system = block.get("sys_prompt")
    if file := ours.get("system_prompt"):
        system = read_text(file, "config: answers.system_prompt: ").strip()
    return Writer(
        server,
        folder,
        base=ours.get("base"),
        chat_template=template,
        system_prompt=system,
        end_think_token=first_set("end_think_token", ours, block),
        sampling=sampling_of(request_params(ours, block), "answers"),
    )
