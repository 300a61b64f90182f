"""The monitor's `--json`: one object, its keys described in docs/campaign.md and stable."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from arena.campaign.jobs import JobRow
from arena.campaign.status import ModelRow, Survey
from arena.campaign.problems import Trouble
from arena.data.layout import Answers
from arena.data.game_state import STATES


def as_json(survey: Survey, rows: Sequence[ModelRow], found: Sequence[Trouble]) -> dict[str, Any]:
    """Times are ISO 8601 in UTC, durations seconds; null is "not known"."""
    prompt, cached, completion = survey.usage
    return {
        "time": _iso(survey.time),
        "root": str(survey.places.root),
        "toy": survey.toy,
        "totals": {
            "models": len(survey.rows),
            **{
                mark: sum(row.mark == mark for row in survey.rows)
                for mark in ("done", "partial", "missing")
            },
            "played": survey.played,
            "games": survey.games,
            "states": {state: survey.states[state] for state in STATES},
            "retries": sum(row.retries for row in survey.rows),
            "prompt_tokens": prompt,
            "cached_tokens": cached,
            "completion_tokens": completion,
            "games_per_second": round(survey.speed, 3),
            "seconds_left": _rounded(survey.left),
        },
        "baselines": [_answers(answers) for answers in survey.baselines],
        "jobs": [_job(job, survey.time) for job in survey.jobs],
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
        "retries": row.retries,
        "games_per_second": round(row.speed, 3),
        "seconds_left": _rounded(row.left),
        "batch": row.batch,
    }


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _rounded(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)
