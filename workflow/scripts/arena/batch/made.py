"""Publishing what a batch has made, and records of what it was made from.

A judgment file is up to date while the record beside `made/<model>.jsonl` has the current settings
(`Settings.digest`) and the digests of the current files. Snakemake's own records are not used.
Imported by the job that publishes, a hundred times a run: standard library only.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from arena.data.layout import Layout
from arena.support.coerce import dict_of, list_of
from arena.support.errors import DataError, OpenGames, os_errors_as
from arena.support.humanize import listing
from arena.support.jsonl import write_atomic

LATE = 90.0  # s; by default NFS shows another node's file after at most 60 s
POLL = 0.5  # s
OWNER = ".campaign"  # file beside judgments: the results folder of the campaign that makes them
Stat = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode: equal, so is the content


class Input(NamedTuple):
    """The state of a file when it was read. Records store it as a list in this order."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str

    @property
    def stat(self) -> Stat:
        return self[1:5]


def stat_of(path: str | Path) -> Stat:
    """Raises OSError. ctime cannot be set by a user, so `cp -p` and `rsync -t` are noticed too."""
    found = os.stat(path)  # noqa: PTH116 (1,000 models: pathlib costs 3 times as much)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def read_input(path: str | Path) -> Input:
    """Read the current state. Raises OSError."""
    while True:
        before = stat_of(path)
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if stat_of(path) == before:
            return Input(str(path), *before, digest)


class Digests:
    """SHA-256 of files, cached by path and state. store: keeps the cache for the next start."""

    def __init__(self, store: Path | None = None) -> None:
        self._store = store
        self._known: dict[str, Any] = {}
        self._changed = False
        if store is not None:
            with contextlib.suppress(OSError, ValueError):  # without it, files are read again
                self._known = dict_of(json.loads(store.read_text(encoding="utf-8")))

    def of(self, path: str | Path, read: Input | None = None) -> str | None:
        """None if the file cannot be read. read: a known state, which may save reading the file."""
        try:
            stat = stat_of(path)
            if read is not None and read.stat == stat:
                return read.sha256
            known = list_of(self._known.get(str(path)))
            if known[:4] != [*stat]:
                known = self._known[str(path)] = [*read_input(path)[1:]]
                self._changed = True
            return known[4]
        except OSError:
            return None

    def save(self) -> None:
        if self._store is not None and self._changed:
            with contextlib.suppress(OSError):  # it is only a cache
                write_atomic(self._store, json.dumps(self._known) + "\n", durable=False)


@dataclass(frozen=True)
class Made:
    """The record of one model. settings: `Settings.digest`. inputs: by role ("answers",
    "questions", "opponent <model>"). size: bytes of the judgment file. run: of Snakemake.
    """

    settings: str
    inputs: Mapping[str, Input]
    size: int
    run: str

    def write(self, path: Path) -> None:
        write_atomic(path, json.dumps(vars(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Made | None":
        """None if there is no readable record."""
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            inputs = {role: Input(*one) for role, one in plain["inputs"].items()}
            return cls(plain["settings"], inputs, plain["size"], plain["run"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def is_of(self, roles: Mapping[str, str], digests: "Digests") -> bool:
        """Whether the inputs have the content that these files have today. roles: role -> path."""
        today = {role: digests.of(path, self.inputs.get(role)) for role, path in roles.items()}
        return {role: one.sha256 for role, one in self.inputs.items()} == today

    def changed(self) -> list[str]:
        """Paths of inputs that have changed since they were read."""
        today, inputs = Digests(), self.inputs.values()
        return [one.path for one in inputs if today.of(one.path, one) != one.sha256]


def complete_record(layout: Layout, model: str, judgment: str | Path, settings: str) -> Made | None:
    """The record of a judgment file; None if the file is incomplete or of other settings."""
    try:
        size = os.stat(judgment).st_size  # noqa: PTH116
    except OSError:
        return None
    made = Made.read(layout.made_record(model))
    return made if made and (made.size, made.settings) == (size, settings) else None


def link(source: Path, target: Path) -> None:
    """Hard-link a file, atomically; copy it if `target` is on another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # `replace` does nothing if both are links to one file


def check_owner(judgments: Path, root: Path) -> None:
    """Refuse a folder of judgments that another campaign has claimed, if its results still exist.

    Both would overwrite each other's files. root: results folder of this campaign.
    """
    mark = judgments / OWNER
    owner = mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""
    if owner and owner != str(root.absolute()) and Path(owner).is_dir():
        raise DataError(
            f"{judgments}: these judgments belong to the campaign whose results are in {owner}, "
            "and each would overwrite the other's. Set judgments_dir, or run there. If that "
            f"campaign is over, remove {mark}"
        )


def claim(judgments: Path, root: Path) -> None:
    """Claim a folder of judgments for this campaign. Raises DataError as `check_owner` does."""
    mark, mine = judgments / OWNER, str(root.absolute()) + "\n"
    with os_errors_as(DataError, f"{judgments}: cannot be written", ". Set judgments_dir"):
        judgments.mkdir(parents=True, exist_ok=True)
        try:
            with mark.open("x", encoding="utf-8") as file:  # one of two concurrent runs succeeds
                file.write(mine)
        except FileExistsError:
            check_owner(judgments, root)
            if mark.read_text(encoding="utf-8") != mine:  # the former results are gone
                mark.write_text(mine, encoding="utf-8")


def made_otherwise(layout: Layout, models: Iterable[str], settings: str) -> list[str]:
    """A note on models whose judgments were made with other settings; [] if there are none."""
    records = {model: Made.read(layout.made_record(model)) for model in models}
    others = [model for model, made in records.items() if made and made.settings != settings]
    note = "judged with settings that differ from today's (temperature, prompts, judge, pilot): "
    return [note + listing(others, most=10)] if others else []


def publish(layout: Layout, model: str, settings: str, batch: str, target: Path) -> None:
    """Link made/<model>.jsonl to its place, or copy it to another file system.

    settings: the current `Settings.digest`. batch: the one that should have made them, "" for none.
    Raises OpenGames if they were not made, DataError if their inputs have changed since.
    """
    source = layout.made(model)
    made = complete_record(layout, model, source, settings)
    if made is None and batch and _is_done(layout.played(batch), model):
        print(f"{model}: waiting at most {LATE:g} s for {source}", file=sys.stderr, flush=True)
        until = time.monotonic() + LATE
        while made is None and time.monotonic() < until:
            time.sleep(POLL)
            made = complete_record(layout, model, source, settings)
    if made is None:
        raise OpenGames(f"{model}: {_why_not(layout, model, batch)}")
    if changed := made.changed():
        raise DataError(
            f"{model}: {', '.join(changed)} changed while the batch was running, so its results "
            "do not match the current files. Run the same command again: only what changed is asked"
        )
    link(source, target)


def _is_done(played: Path, model: str) -> bool:
    """Whether the batch says that it has made this model's judgments."""
    return played.exists() and model in played.read_text(encoding="utf-8").splitlines()


def _why_not(layout: Layout, model: str, batch: str) -> str:
    # Imported here, because a publication that succeeds needs no records of its batch.
    from arena.journals.records import BatchPlan, Status

    if not batch:
        return "no judgments were made"
    stage = (BatchPlan.read(layout.batch(batch)) or BatchPlan(batch)).stage
    status = Status.read(layout.status(batch))
    known = status and status.models.get(model)
    if not known:
        return f"no {stage.product} were made. Log: {layout.log(batch)}"
    left = f"{known.games - known.played} of {known.games} {stage.request}s are open: "
    why = known.stop.text if known.stop else "its batch ended early"
    return f"{left if known.games else ''}{why}. Log: {layout.log(batch)}"
