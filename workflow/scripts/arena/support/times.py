"""Times in files (ISO 8601) and in memory (seconds since 1970)."""

from datetime import UTC, datetime
from typing import Any

from arena.support.coerce import number_of


def iso(seconds: float | None) -> str | None:
    """UTC, in milliseconds; None for None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def epoch(time: Any) -> float | None:
    """Seconds since 1970 of an ISO time or a number; None for anything else."""
    if not isinstance(time, str):
        return number_of(time)
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None
