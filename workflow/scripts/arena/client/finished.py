"""What a finished game leaves in the journal."""

from dataclasses import replace
from datetime import datetime

from arena.data.games import Game
from arena.journals.journal import NO_TOKENS, Record
from arena.client.replies import Outcome


def record_of(
    game: Game, outcome: Outcome, earlier: Record | None, *, calls: int, again: int, seconds: float
) -> Record:
    """The line of a game. calls: made for it since its last line, `earlier`. again: the number of
    the repetition (0: the first asking). seconds: of the last call.

    The text of a reply without a verdict outlives a repetition that brings none.
    """
    reason = outcome.reason
    if again:
        what = "verdict" if outcome.state == "ok" else f"{reason or outcome.state}, also"
        reason = f"{what} when asked again, for the {_nth(again)} time"
    record = Record(
        digest=game.digest,
        uid=game.uid,
        game=game.index,
        state=outcome.state,
        label=outcome.label,
        answer=outcome.answer,
        finish_reason=outcome.finish_reason,
        usage=outcome.usage or dict(NO_TOKENS),
        attempts=(earlier.attempts if earlier else 0) + calls,
        seconds=round(seconds, 3),
        time=datetime.now().astimezone().isoformat(timespec="milliseconds"),
        reason=reason,
    )
    if earlier is None or outcome.state not in ("too_long", "rejected"):
        return record
    return replace(
        record,
        state=earlier.state,
        answer=earlier.answer,
        finish_reason=earlier.finish_reason,
        reason=f"{earlier.reason}; {outcome.state} when asked again: {outcome.reason}",
    )


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
