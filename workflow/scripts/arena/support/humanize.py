"""Numbers, lists and texts for people.

Texts of judges, models and other tools pass `printable` before they are shown or logged, and
`csv_cell` before they are written into a CSV file.
"""

import re
from collections.abc import Sequence
from typing import Any

# What a terminal interprets: C0 except tab and newline, DEL, C1, line and paragraph separators, and
# characters that change the direction of text.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    r"""The text with control characters as their escapes: ESC as `\x1b`."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def shorten(text: str, most: int = 300) -> str:
    """One line of at most `most` characters: an error text may contain a whole prompt."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[:most]}… ({len(line)} characters)"


def csv_cell(value: Any) -> Any:
    """The cell; an apostrophe in front of text that a spreadsheet would take for a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    try:
        float(text)
    except ValueError:
        return f"'{text}" if value.startswith(_FORMULA) else text
    return text


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 05`, `2 d 04 h`; a dash for None."""
    if seconds is None:
        return "–"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d}" if hours < 48 else f"{hours // 24} d {hours % 24:02d} h"


def count(number: float | None) -> str:
    """`950`, `48,211`, `2.3 M`, `1.2 G`; a dash for None."""
    if number is None:
        return "–"
    if number < 1e6:
        return f"{number:,.0f}"
    return f"{number / 1e6:.1f} M" if number < 1e9 else f"{number / 1e9:.1f} G"


def share(part: float, whole: float) -> str:
    """A percentage; "0%" and "100%" only if exact."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return "<1%" if 0 < percent < 1 else ">99%" if 99 < percent < 100 else f"{percent:.0f}%"


def counted(number: int, noun: str, nouns: str = "") -> str:
    """`1 model`, `1,200 models`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def listing(names: Sequence[str], most: int = 3) -> str:
    """`a, b, c and 9 more`."""
    shown = names if len(names) <= most + 1 else names[:most]
    more = f" and {len(names) - most} more" if len(shown) < len(names) else ""
    return printable(", ".join(shown)) + more
