"""Values from files that other tools or versions wrote; one of a wrong type is unknown."""

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


def numbers_of(value: Any) -> dict[str, float]:
    """The entries of a JSON object whose values are numbers."""
    return {key: n for key, one in dict_of(value).items() if (n := number_of(one)) is not None}
