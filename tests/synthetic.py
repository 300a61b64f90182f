"""A campaign's folder without a campaign: journals, plans and records as the workflow writes them.

Times are seconds since 1970 and count from `T0`, so that every figure in a test is known.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from arena.setup.settings import Settings

T0 = 1_700_000_000.0  # start of the run: long ago, since files written now are taken for later ones
REPLY = 'My final verdict: [[A>B]]. "state": "rejected", {"usage": null} ' * 30  # must not be read


def iso(time: float | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time, UTC).isoformat()


def journal_line(
    question: int,
    game: int,
    end: float = T0,
    *,
    state: str = "ok",
    attempts: int = 1,
    seconds: float = 2.0,
    usage: tuple[int, int, int] = (100, 40, 20),
) -> str:
    prompt, cached, completion = usage
    line = {
        "digest": f"{2 * question + game:064x}",
        "uid": f"q{question}",
        "game": game,
        "state": state,
        "label": "A>B" if state == "ok" else None,
        "answer": REPLY,
        "finish_reason": "stop",
        "usage": {"prompt": prompt, "cached": cached, "completion": completion},
        "attempts": attempts,
        "seconds": seconds,
        "time": iso(end),
        "reason": None,
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def settings_of(folder: Path, judge: dict | None = None, **changes: object) -> Settings:
    """Settings of a campaign in a folder: as a config would give them, and its judge `vllm`."""
    known = {
        "bench": "bench",
        "questions": folder / "question.jsonl",
        "answers_dir": folder / "model_answer",
        "judgments_dir": folder / "judgments",
        "root": folder,
        "models": (),
        "selected": changes.get("models", ()),
        "baselines": {"*": "base"},
        "batch_size": 10,
        "retries": 2,
        "seed": 42,
        "missing_answers": "skip",
        "baseline_gaps": "drop",
        "walltime": {"start_minutes": 1, "minutes_per_model": 1, "max_minutes": 100},
        "budget": {},
        "gpu_hour_cost": None,
        "leaderboard": {},
    }
    keys = ("path", "reference", "endpoints", "ask_again", "temperature", "max_tokens", "sampling")
    judge = dict.fromkeys(keys) | {"name": "judge", "server": "vllm"} | (judge or {})
    return Settings(**known | {"judge": judge} | changes)


def write(path: Path, text: str) -> Path:
    """A file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_lines(path: Path, lines: Iterable[dict]) -> Path:
    return write(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def write_journal(root: Path, model: str, lines: list[str]) -> Path:
    return write(root / "games" / f"{model}.jsonl", "".join(lines))


def write_batch(
    root: Path, name: str, models: list[str], begun: dict | None = None, **keys: object
) -> Path:
    """batches/<name>.json. begun: its record, see `write_attempt`."""
    entry = {
        "batch": name,
        "run": name.rpartition("-")[0],
        "models": models,
        "settings": "s1",
        "requests": keys.get("settings", "s1"),
        "time": iso(T0),
        **keys,
    }
    if begun:
        write_attempt(root, name, begun)
    return write(root / "batches" / f"{name}.json", json.dumps(entry))


def attempt(start: float, launched: float | None, ready: float | None, end: float | None, **keys):
    """A record as a batch's job writes it; times in seconds after T0."""
    times = {"start": start, "launched": launched, "ready": ready, "end": end}
    entry = {key: iso(None if value is None else T0 + value) for key, value in times.items()}
    defaults = {"slurm_job_id": None, "node": "n1", "gpus": 2, "pid": None, "cause": None}
    return {**entry, **defaults, "restarts": [], "server_log": "server.log", "earlier": [], **keys}


def write_attempt(root: Path, batch: str, record: dict) -> Path:
    """logs/<batch>/batch.json."""
    return write(root / "logs" / batch / "batch.json", json.dumps({"batch": batch, **record}))


def write_status(root: Path, batch: str, time: float, models: dict, **keys: object) -> Path:
    """logs/<batch>/status.json. models: name -> (games, states, stop as (kind, text) or None)."""
    told = {
        model: {
            "games": games,
            "states": states,
            "stop": stop and {"kind": stop[0], "text": stop[1]},
        }
        for model, (games, states, stop) in models.items()
    }
    status = {"time": iso(time), "judge": "ready", "models": told, **keys}
    return write(root / "logs" / batch / "status.json", json.dumps(status))
