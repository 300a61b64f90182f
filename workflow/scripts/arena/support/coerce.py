"""Values from files that other tools or versions wrote; one of a wrong type is unknown. Times are
ISO 8601 in files, and seconds since 1970 in memory.
"""

from datetime import UTC, datetime
from typing import Any

_LARGEST = 1e300  # above it a sum overflows
_MOST = 2**53  # above it JSON readers differ


def text_of(value: Any) -> str | None:
    """The text, None if it is empty or not text."""
    return value if isinstance(value, str) and value else None


def number_of(value: Any) -> float | None:
    """The number, None if it is not a finite number; true and false are not numbers."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < _LARGEST else None


def count_of(value: Any) -> int:
    """The count, 0 if it is not a whole number from 0."""
    return value if type(value) is int and 0 <= value <= _MOST else 0


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def iso(seconds: float | None) -> str | None:
    """UTC, in milliseconds; None for None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def epoch(time: Any) -> float | None:
    """Seconds since 1970 of an ISO time or a number; None for anything else."""
    try:
        if isinstance(time, str):
            return datetime.fromisoformat(time).timestamp()
        number = number_of(time)
        iso(number)  # fails for a number beyond the year 9999
        return number
    except (ValueError, OverflowError, OSError):
        return None
