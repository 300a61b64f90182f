"""The states in which a game ends."""

from collections import Counter

# In display order. Only "ok" is a vote; games in the others are asked again only by `ask_again`.
STATES = ("ok", "unparsed", "truncated", "too_long", "rejected")
ANSWERED = ("ok", "unparsed", "truncated")  # the judge replied


def state_of(label: str | None, finish_reason: str | None) -> str:
    """The state of a game with a reply; label: the verdict, None without one."""
    if label:
        return "ok"
    return "truncated" if finish_reason == "length" else "unparsed"


def states_text(states: Counter[str]) -> str:
    """`ok 400, unparsed 12`."""
    return ", ".join(f"{state} {states[state]}" for state in STATES if states[state])
