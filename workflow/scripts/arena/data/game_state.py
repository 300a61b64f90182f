"""The states in which a game ends, and how the state of one that was answered is derived."""

from collections import Counter

# In the order in which they are shown. Only "ok" votes; a game in any of them is not asked again
# (but see `ask_again`).
STATES = ("ok", "unparsed", "truncated", "too_long", "rejected")
ANSWERED = ("ok", "unparsed", "truncated")  # the judge replied


def state_of(label: str | None, finish_reason: str | None) -> str:
    """The state of an answered game: `label` is the verdict in its reply, None without one."""
    if label:
        return "ok"
    return "truncated" if finish_reason == "length" else "unparsed"


def states_text(states: Counter[str]) -> str:
    """`ok 400, unparsed 12`."""
    return ", ".join(f"{state} {states[state]}" for state in STATES if states[state])
