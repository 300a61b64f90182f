"""Names of models, judges and benches, which become file names, wildcards and arguments."""

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable

from arena.support.errors import ConfigError

# ASCII letters, digits and . _ + : @ , = - ; nothing special to a shell, a path or a format string.
# Not "." or "-" first (hidden files, options). No blanks (Snakemake and Slurm split at them). 200
# characters leave room for suffixes within the 255 bytes of a file name.
NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.+:@,=-]{0,199}"
_NAME = re.compile(NAME_PATTERN)


def check_model_name(name: object, *, where: str = "models") -> str:
    """Return the name if it is safe as a file name; otherwise raise ConfigError with the reason."""
    if not isinstance(name, str):
        raise ConfigError(
            f"{where}: a name must be text, not the {type(name).__name__} {name!r}. Quote it"
        )
    if _NAME.fullmatch(name):
        return name
    bad = ", ".join(repr(char) for char in sorted(set(name)) if not _NAME.fullmatch(f"a{char}"))
    raise ConfigError(
        f"{where}: {name!r} cannot be a file name{f': it contains {bad}' if bad else ''}. Use 1 to "
        "200 letters, digits and . _ - + : @ , = that begin with a letter, a digit or _"
    )


def is_model_name(name: object) -> bool:
    """Whether `check_model_name` accepts it."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def in_order(name: str) -> tuple:
    """A sort key that compares numbers by value: step2000 comes before step12000."""
    parts = re.split(r"(\d+)", name)  # text and digits in turn
    return ([int(part) if part.isdecimal() else part for part in parts], name)


def common_beginning(names: Collection[str]) -> str:
    """The common prefix of three or more names, up to a separator, that shortens the longest name
    most when it is left out; "" if none does.
    """
    ends = ((name, found.end()) for name in names for found in re.finditer("[-_./:+@]", name))
    counts = Counter(name[:end] for name, end in ends)
    shared = ["", *(text for text, number in counts.items() if number > 2 and len(text) > 3)]
    return min(shared, key=lambda text: max(map(len, without(text, names)), default=0))


def without(beginning: str, names: Iterable[str], dots: str = "…") -> list[str]:
    """The names, with dots in place of a prefix."""
    return [
        dots + name[len(beginning) :] if beginning and name.startswith(beginning) else name
        for name in names
    ]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The most similar known name, ignoring case; None if none is similar."""
    by_folded = {item.casefold(): item for item in known}
    # Names of models share parts ("-7b-chat"): below 0.7 another model would be suggested.
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or "" if no known name is similar."""
    close = nearest(name, known)
    return f"; did you mean {close!r}?" if close else ""
