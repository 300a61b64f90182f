"""The object that the monitor prints with `--json`; its stable keys are in docs/campaign.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from arena.campaign.campaign import Answers
from arena.campaign.jobs import JobRow
from arena.campaign.problems import Problem
from arena.campaign.status import CampaignStatus, ModelRow
from arena.data.game_state import STATES


def as_json(
    status: CampaignStatus, rows: Sequence[ModelRow], found: Sequence[Problem]
) -> dict[str, Any]:
    """Times are ISO 8601 in UTC, durations are seconds, unknown values are null."""
    tokens = ("prompt_tokens", "cached_tokens", "completion_tokens")
    return {
        "time": datetime.fromtimestamp(status.time, UTC).isoformat(timespec="seconds"),
        "root": str(status.campaign.layout.root),
        "beside": [str(folder) for folder in status.campaign.beside()],
        "toy": status.toy,
        "totals": {
            "models": len(status.rows),
            "with_answers": status.with_answers,
            **status.marks,
            **_progress(status, status.states),
            "retries": status.retries,
            **dict(zip(tokens, status.usage, strict=True)),
        },
        "baselines": [_answers(answers) for answers in status.baselines],
        "jobs": [_job(job, status.time) for job in status.jobs],
        "answers": status.stage and as_json(status.stage, status.stage.rows, ()),
        "models": [
            {
                **_answers(row.answers),
                "judged": row.judged,
                **_progress(row, row.states),
                "judgments": row.mark,
                "at": row.at,
                "retries": row.tally.retries,
                "batch": row.batch,
            }
            for row in rows
        ],
        "wrong": [asdict(one) | {"where": one.where or None} for one in found],
    }


def _progress(one: CampaignStatus | ModelRow, states: Mapping[str, int]) -> dict[str, Any]:
    return {
        "played": one.played,
        "games": one.games,
        "states": {state: states.get(state, 0) for state in STATES},
        "games_per_second": round(one.speed, 3),
        "seconds_left": _rounded(one.left),
    }


def _answers(one: Answers) -> dict[str, Any]:
    counts = {"answers": one.answered, "questions": one.questions}
    return {"model": one.model, **counts, "mark": one.mark}


def _job(job: JobRow, now: float) -> dict[str, Any]:
    return {
        "batch": job.batch.name,
        "models": list(job.batch.models),
        "state": job.state,
        "job": job.job_id,
        "node": job.node or None,
        "seconds": _rounded(job.elapsed(now)),
        "limit": job.job.limit if job.job else None,
        "reason": job.reason or None,
        "expected_start": (job.job.expected or None) if job.job else None,
    }


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
