"""Which models share a judge server: the plan of a run.

The models to judge come first, in full batches; the finished ones follow in batches of their own,
so that a finished model never shares a server with a waiting one, and a change that re-judges
everything still comes in full batches.
"""

import hashlib
import json
import os
import secrets
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from arena.setup.settings import Settings
from arena.support.errors import DataError
from arena.support.jsonl import write_atomic
from arena.support.humanize import counted

CHECKSUM_BYTES = (
    1_000_000  # Snakemake compares smaller files by checksum, larger ones by time alone
)
# Snakemake computes them for every job, and tells memory in three ways; sbatch gets mem_mb alone.
UNASKED = ("tmpdir", "disk", "disk_mb", "disk_mib", "mem", "mem_mib")


class Record(Protocol):
    """What Snakemake remembers of a finished output file."""

    params: Any
    input: Any
    input_checksums: Mapping[str, str] | None


def run_name() -> str:
    """A name for this run that no other run has: the batches of a dead run may still be alive."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Plan:
    """batch_of: model -> batch, of all models. waiting: those with something to judge."""

    batch_of: dict[str, str]
    waiting: tuple[str, ...]

    def members(self, batch: str) -> list[str]:
        return [model for model, name in self.batch_of.items() if name == batch]

    @property
    def batches(self) -> list[str]:
        return list(dict.fromkeys(self.batch_of.values()))

    @property
    def open_batches(self) -> list[str]:
        return list(dict.fromkeys(self.batch_of[model] for model in self.waiting))

    def lines(self) -> list[str]:
        """A line a batch with models to judge, for the terminal."""
        return [
            f"batch {batch}: {counted(len(models), 'model')}: {', '.join(models)}"
            for batch in self.open_batches
            for models in [self.members(batch)]
        ]


def make_plan(waiting: Iterable[str], settled: Iterable[str], size: int, run: str) -> Plan:
    """Name the batch of every model: `<run>-<number>`, from 01, in the order given."""
    waiting = tuple(waiting)
    batch_of: dict[str, str] = {}
    number = 0
    for models in (waiting, tuple(settled)):
        for start in range(0, len(models), size):
            number += 1
            batch_of |= dict.fromkeys(models[start : start + size], f"{run}-{number:02d}")
    return Plan(batch_of, waiting)


def needs_judging(judgment: str, inputs: Iterable[str], record: Record | None, digest: str) -> bool:
    """Tell whether Snakemake will find a judgment missing or out of date.

    The answer has to be Snakemake's own: a waiting model in a batch of finished ones makes it run
    them all.

    Parameters
    ----------
    judgment
        The judgment file.
    inputs
        Answer, baseline and question files it is made from.
    record
        What Snakemake remembers of it, None if nothing.
    digest
        Of the settings in use (`Settings.digest`); recorded among the rule's params.
    """
    try:
        made = os.stat(judgment).st_mtime  # noqa: PTH116 (1,000 models: pathlib costs 3 times as much)
    except FileNotFoundError:
        return True
    inputs = list(inputs)
    if any(_is_newer(path, made, record) for path in inputs):
        return True
    if record is None:
        return False
    known = {path for path in record.input or inputs if path != "<service>"}
    return known != set(inputs) or (record.params is not None and digest not in str(record.params))


def _is_newer(path: str, made: float, record: Record | None) -> bool:
    try:
        stat = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return True
    if stat.st_mtime <= made:
        return False
    known = (record.input_checksums or {}).get(path) if record else None
    if known is None or stat.st_size > CHECKSUM_BYTES:
        return True
    return known.removeprefix("sha256:") != hashlib.sha256(Path(path).read_bytes()).hexdigest()


def describe_batch(
    batch: str, games: Mapping[str, int], resources: Mapping[str, Any], settings: Settings
) -> dict[str, Any]:
    """All that a batch's job needs to know, and whoever looks on. Holds no key of any server.

    Parameters
    ----------
    games
        Of each model of the batch, how many there are to play.
    resources
        Of its job, as Snakemake hands them to the executor.
    """
    asked = asked_for(resources)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "batch": batch,
        "run": batch.rpartition("-")[0],
        "models": list(games),
        "games": dict(games),
        "settings": settings.digest,
        "requests": settings.requests_digest,
        "resources": {**asked, "gpus": requested_gpus(asked)},
        "time": now,
        "judge": settings.server_settings(),
        "root": str(settings.root),
        "budget": settings.budget and {**settings.budget, "since": now},
        "gpu_hour_cost": settings.gpu_hour_cost,
        "workdir": str(Path.cwd()),
    }


def asked_for(resources: Mapping[str, Any]) -> dict[str, Any]:
    """What of a job's resources its scheduler hears: nothing that is zero, or Snakemake's own."""
    asked = {
        key: value
        for key, value in sorted(resources.items())
        if value and not key.startswith("_") and key not in UNASKED
    }
    if asked.keys() & {"cpus_per_task", "cpus_per_gpu"}:
        asked.pop("threads", None)  # which stand for cores only where nothing else does
    return asked


def requested_gpus(resources: Mapping[str, Any]) -> int:
    """GPUs of a job, from `gpu`, `gpus` or `gres` (gpu, gpu:2, gpu:a100:2); 0 without any."""
    for key in ("gpu", "gpus"):
        if str(resources.get(key) or "").strip():
            return int(str(resources[key]).rpartition(":")[2])
    counted = 0
    for part in str(resources.get("gres") or "").split(","):
        name, *rest = part.strip().split(":")
        if name.removeprefix("gres/") == "gpu":
            counted += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return counted


def ask_for_no_gpu(resources: dict[str, Any]) -> None:
    """Empty what a profile asks of GPUs: as it beats the rule, only afterwards can that be done."""
    nothing = {"gpu": 0, "gpus": 0, "gpu_model": "", "gres": "", "cpus_per_gpu": 0}
    for key in nothing.keys() & set(resources):
        resources[key] = nothing[key]
    if "slurm_extra" in resources and "gpu" in str(resources["slurm_extra"]):
        resources["slurm_extra"] = ""


def write_batch(described: Mapping[str, Any], log: Any = None) -> Path:
    """Write batches/<batch>.json; `log` is Snakemake's own log of the run."""
    path = Path(described["root"]) / "batches" / f"{described['batch']}.json"
    text = json.dumps({**described, "log": log}, indent=1, ensure_ascii=False, default=str)
    write_atomic(path, text + "\n")
    return path


def read_batch(
    path: str | Path,
    patience: float = 0,
    waiting: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """What `write_batch` wrote, on another node perhaps: a shared file system may show it late.

    Parameters
    ----------
    patience
        Seconds that the file may take to be seen.
    waiting
        Told once, if it has to be waited for.

    Raises
    ------
    DataError
        Where it is not seen in time.
    """
    deadline, told = time.monotonic() + patience, False
    while True:
        try:
            return json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            if time.monotonic() >= deadline:
                raise DataError(
                    f"{path}: not seen on this node after {patience:g} seconds. The main process "
                    "has written it before it submitted this job: is its folder there on every "
                    "node? If files are only late, raise latency-wait in the profile."
                ) from None
        if not told:
            waiting(f"Waiting at most {patience:g} seconds for {path}")
            told = True
        time.sleep(min(1, patience / 10))


def plan_text(described: list[dict[str, Any]], settings: Settings) -> str:
    """The plan of a run as a page for the terminal, 80 columns where names allow it."""
    judge = settings.judge
    lines = [
        f"bench      {settings.bench}",
        f"baseline   {', '.join(settings.baseline_models)}",
        f"judge      {judge['name']} (server: {judge['server']})"
        + (" - a toy, its verdicts mean nothing" if settings.toy else ""),
        f"sampling   temperature {judge['temperature']}, max_tokens {judge['max_tokens']}"
        + "".join(f", {key} {value}" for key, value in judge["sampling"].items()),
        f"settings   {settings.digest}",
        f"judgments  {settings.judgments_dir}",
    ]
    if not described:
        return "\n".join([*lines, "Nothing to judge: every judgment is there and up to date."])
    for batch in described:
        asked = dict(batch["resources"])
        gpus = asked.pop("gpus")
        if gpus and not asked.keys() & {"gpu", "gres"}:
            asked["gpus"] = gpus
        models = textwrap.wrap(", ".join(batch["models"]), 78, break_on_hyphens=False)
        lines += [
            "",
            f"batch {batch['batch']}: {counted(len(batch['models']), 'model')}, one job",
            *(f"  {line}" for line in models),
            "  asks for " + ", ".join(f"{key}={value}" for key, value in asked.items()),
        ]
    total = sum(len(batch["models"]) for batch in described)
    return "\n".join([*lines, "", f"{counted(total, 'model')}, {counted(len(described), 'job')}."])
