"""The batches of a campaign as their files tell: who is in them, and each life of their judge
server.

in: batches/<batch>.json (what the main process asked for), logs/<batch>/batch.json (what became of
it). Both are written by others, possibly at this moment and possibly by another version: a key that
is missing or of an unknown shape is unknown, never an error. A file that cannot be read as JSON is
reported by `Batch.unreadable`.
"""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from arena.data.layout import modified
from arena.journals.progress import epoch
from arena.support.coerce import dict_of, list_of, number_of, numbers_of, text_of


@dataclass(frozen=True)
class Life:
    """One life of a batch's judge server: a Slurm job or a process. Times: seconds since 1970."""

    job: str | None
    node: str | None
    pid: int | None
    gpus: float | None
    start: float | None
    launched: float | None  # at the first real question; None: nothing was asked yet
    ready: float | None
    end: float | None
    cause: str | None  # why it ended; None while it runs
    failed: bool  # it ended for another reason than that its work was done
    restarts: tuple[str, ...] = ()  # causes
    log: str | None = None  # of the server
    # One that was killed writes no end: its walltime, the next life's start, its logs' last words.
    latest: float | None = None

    def until(self, now: float) -> float:
        """Its end; of one that wrote none, now or what it cannot have outlived."""
        if self.end is not None:
            return self.end
        return now if self.latest is None else min(now, self.latest)

    def held(self, now: float) -> float:
        """Seconds so far."""
        return 0.0 if self.start is None else max(0.0, self.until(now) - self.start)

    def gpu_hours(self, now: float, gpus: float) -> float:
        """GPU hours held so far; `gpus` where the record does not say how many."""
        return self.held(now) / 3600 * (gpus if self.gpus is None else self.gpus)


@dataclass(frozen=True)
class Batch:
    """The models that share one judge server, and its lives, oldest first (a retry is another)."""

    name: str
    models: tuple[str, ...]
    written: float | None
    settings: str | None  # digest of all that makes a judgment
    requests: str | None  # digest of what the judge's replies depend on
    gpus: float  # asked for
    games: Mapping[str, int] = field(default_factory=dict)  # model -> all its games
    lives: tuple[Life, ...] = ()
    unreadable: tuple[str, ...] = ()
    toy: bool = False  # judged by the demo judge
    gpu_hour_cost: float | None = None

    @property
    def run(self) -> str:
        """Name of the run that planned it: `<run>-<number>` is a batch's name."""
        return self.name.rsplit("-", 1)[0]

    def gpu_hours(self, now: float) -> float:
        return sum(life.gpu_hours(now, self.gpus) for life in self.lives)


def read_batches(root: Path) -> list[Batch]:
    """All batches below a results folder, in the order of their names (which is that of time)."""
    names = {path.stem for path in root.glob("batches/*.json")}
    names |= {path.parent.name for path in root.glob("logs/*/batch.json")}
    batches = [_read(root, name) for name in sorted(names)]
    return [batch for batch in batches if batch.models or batch.lives or batch.unreadable]


def newest_run(batches: list[Batch]) -> str | None:
    return max((batch.run for batch in batches), default=None)


def is_dead(life: Life) -> bool:
    """True for a process of this machine that is there no more. Of a Slurm job only Slurm knows."""
    here = life.node in (socket.gethostname(), socket.getfqdn())
    if life.job is not None or life.pid is None or not here:
        return False
    try:
        os.kill(life.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # alive, of another user
        return False
    return False


def read_json(path: Path) -> dict[str, Any] | None:
    """{} where there is no file, None where it is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read(root: Path, name: str) -> Batch:
    plan_file, log_file = root / "batches" / f"{name}.json", root / "logs" / name / "batch.json"
    plan, log = read_json(plan_file), read_json(log_file)
    broken = [str(path) for path, got in ((plan_file, plan), (log_file, log)) if got is None]
    plan, log = plan or {}, log or {}
    asked = dict_of(plan.get("resources"))
    lives = [_life(one) for one in (*map(dict_of, list_of(log.get("earlier"))), log) if one]
    return Batch(
        name=name,
        models=tuple(filter(text_of, list_of(plan.get("models")))),
        written=epoch(plan.get("time")),
        settings=text_of(plan.get("settings")),
        requests=text_of(plan.get("requests")) or text_of(plan.get("settings")),
        gpus=number_of(asked.get("gpus")) or 0,
        games=numbers_of(plan.get("games")),
        lives=_lives(lives, number_of(asked.get("runtime")), log_file.parent),
        unreadable=tuple(broken),
        toy=dict_of(plan.get("judge")).get("server") == "demo",
        gpu_hour_cost=number_of(plan.get("gpu_hour_cost")),
    )


def _lives(lives: list[Life], minutes: float | None, logs: Path) -> tuple[Life, ...]:
    """The lives of a batch, each with what it cannot have outlived where it wrote no end.

    minutes: the walltime of the first attempt; later ones ask for more. logs: folder of the batch.
    """
    for number, life in enumerate(lives):
        if life.start is None or life.end is not None:
            continue
        latest = [later.start for later in lives[number + 1 :] if later.start is not None][:1]
        if life.job is not None and minutes is not None:
            latest.append(life.start + 60 * minutes * (number + 1))
        if is_dead(life):  # its clients and its judge wrote to their logs as long as they lived
            written = [time for path in logs.glob("*") if (time := modified(path)) is not None]
            latest.append(max([life.start, *written]))
        lives[number] = replace(life, latest=min(latest, default=None))
    return tuple(lives)


def _life(log: Mapping[str, Any]) -> Life:
    cause, pid = text_of(log.get("cause")), number_of(log.get("pid"))
    restarts = [dict_of(restart).get("cause") for restart in list_of(log.get("restarts"))]
    return Life(
        job=str(log["slurm_job_id"]) if log.get("slurm_job_id") else None,
        node=text_of(log.get("node")),
        pid=pid if isinstance(pid, int) and pid > 0 else None,
        gpus=number_of(log.get("gpus")),
        start=epoch(log.get("start")),
        launched=epoch(log.get("launched")),
        ready=epoch(log.get("ready")),
        end=epoch(log.get("end")),
        cause=cause,
        failed=bool(log.get("failed", cause)),
        restarts=tuple(text_of(cause) or "unknown cause" for cause in restarts),
        log=text_of(log.get("server_log")),
    )
