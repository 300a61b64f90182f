"""The batches of a campaign as their files tell: who is in them, and each life of their judge
server.

in: batches/<batch>.json (what the main process asked for), logs/<batch>/batch.json (what became of
it). Both are written by others, possibly at this moment and possibly by another version: a key that
is missing or of an unknown shape is unknown, never an error. A file that cannot be read as JSON is
reported by `Batch.unreadable`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from arena.journals.progress import epoch


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
    latest: float | None = (
        None  # a killed job writes no end: its walltime, or the next life's start
    )

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
    asked: Mapping[str, Any] = field(default_factory=dict)  # of Slurm
    games: Mapping[str, int] = field(default_factory=dict)  # model -> all its games
    budget: Mapping[str, float] = field(default_factory=dict)
    lives: tuple[Life, ...] = ()
    unreadable: tuple[str, ...] = ()
    toy: bool = False  # judged by the demo judge

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


def _read(root: Path, name: str) -> Batch:
    plan_file, log_file = root / "batches" / f"{name}.json", root / "logs" / name / "batch.json"
    plan, log = _json(plan_file), _json(log_file)
    broken = [str(path) for path, got in ((plan_file, plan), (log_file, log)) if got is None]
    plan, log = plan or {}, log or {}
    asked = _dict(plan.get("resources"))
    lives = [*(log.get("earlier") or []), log] if log else []
    return Batch(
        name=name,
        models=tuple(plan.get("models") or ()),
        written=epoch(plan.get("time")),
        settings=plan.get("settings"),
        requests=plan.get("requests") or plan.get("settings"),
        gpus=asked.get("gpus") or 0,
        asked=asked,
        games=_dict(plan.get("games")),
        budget=_dict(plan.get("budget")),
        lives=_lives([life for life in lives if isinstance(life, dict)], asked.get("runtime")),
        unreadable=tuple(broken),
        toy=_dict(plan.get("judge")).get("server") == "demo",
    )


def _lives(logs: list[Mapping[str, Any]], minutes: Any) -> tuple[Life, ...]:
    """The lives of a batch. minutes: the walltime of its first attempt; later ones ask for more."""
    lives = [_life(log) for log in logs]
    for number, life in enumerate(lives):
        if life.start is None or life.end is not None:
            continue
        latest = [later.start for later in lives[number + 1 :] if later.start is not None][:1]
        if life.job is not None and isinstance(minutes, int | float):
            latest.append(life.start + 60 * minutes * (number + 1))
        lives[number] = replace(life, latest=min(latest, default=None))
    return tuple(lives)


def _life(log: Mapping[str, Any]) -> Life:
    cause = log.get("cause")
    restarts = [
        _dict(restart).get("cause", "unknown cause") for restart in log.get("restarts") or []
    ]
    return Life(
        job=str(log["slurm_job_id"]) if log.get("slurm_job_id") else None,
        node=log.get("node"),
        pid=log.get("pid"),
        gpus=log.get("gpus"),
        start=epoch(log.get("start")),
        launched=epoch(log.get("launched")),
        ready=epoch(log.get("ready")),
        end=epoch(log.get("end")),
        cause=cause,
        failed=bool(log.get("failed", cause)),
        restarts=tuple(restarts),
        log=log.get("server_log"),
    )


def _json(path: Path) -> dict[str, Any] | None:
    """{} where there is no file, None where it is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
