"""The monitor's `--json`: one object, its keys described in docs/campaign.md and stable."""

from collections.abc import Sequence
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
    """Times are ISO 8601 in UTC, durations seconds; null is "not known"."""
    prompt, cached, completion = status.usage
    return {
        "time": datetime.fromtimestamp(status.time, UTC).isoformat(timespec="seconds"),
        "root": str(status.campaign.layout.root),
        "toy": status.toy,
        "totals": {
            "models": len(status.rows),
            **{
                mark: sum(row.mark == mark for row in status.rows)
                for mark in ("done", "partial", "missing")
            },
            "played": status.played,
            "games": status.games,
            "states": {state: status.states[state] for state in STATES},
            "retries": sum(row.tally.retries for row in status.rows),
            "prompt_tokens": prompt,
            "cached_tokens": cached,
            "completion_tokens": completion,
            "games_per_second": round(status.speed, 3),
            "seconds_left": _rounded(status.left),
        },
        "baselines": [_answers(answers) for answers in status.baselines],
        "jobs": [_job(job, status.time) for job in status.jobs],
        "models": [_model(row) for row in rows],
        "wrong": [
            {"text": one.text, "grave": one.grave, "where": one.where or None} for one in found
        ],
    }


def _answers(answers: Answers) -> dict[str, Any]:
    return {
        "model": answers.model,
        "answers": answers.answered,
        "questions": answers.questions,
        "mark": answers.mark,
    }


def _job(job: JobRow, now: float) -> dict[str, Any]:
    return {
        "batch": job.batch.name,
        "models": list(job.batch.models),
        "state": job.state,
        "job": job.job_id,
        "node": job.node or None,
        "seconds": _rounded(job.held(now)),
        "limit": job.job.limit if job.job else None,
        "reason": job.reason or None,
        "expected_start": (job.job.expected or None) if job.job else None,
    }


def _model(row: ModelRow) -> dict[str, Any]:
    return {
        **_answers(row.answers),
        "judged": row.judged,
        "played": row.played,
        "games": row.games,
        "judgments": row.mark,
        "at": row.at,
        "states": {state: row.states.get(state, 0) for state in STATES},
        "retries": row.tally.retries,
        "games_per_second": round(row.speed, 3),
        "seconds_left": _rounded(row.left),
        "batch": row.batch,
    }


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
