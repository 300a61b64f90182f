"""Values from files that others write, perhaps another version of us: one of an odd shape is
unknown, never an error.
"""

from typing import Any

_LARGEST = 1e300  # above it a sum overflows
_MOST = 2**53  # no count is greater, and above it JSON readers differ


def text_of(value: Any) -> str | None:
    """Text that is not empty."""
    return value if isinstance(value, str) and value else None


def number_of(value: Any) -> float | None:
    """A finite number; true and false are none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < _LARGEST else None


def count_of(value: Any) -> int:
    """A number of things; 0 where it is none."""
    return value if type(value) is int and 0 <= value <= _MOST else 0


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def numbers_of(value: Any) -> dict[str, float]:
    """The entries of a JSON object that are numbers."""
    return {key: n for key, one in dict_of(value).items() if (n := number_of(one)) is not None}
