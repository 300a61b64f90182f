"""Games that the judge refused: is it about them, or about everything that we ask?

A refusal (a 400 and the like) is a game's end for ever. So one that may be our fault (settings, an
empty account) is held back until the judge has replied to something asked later. If it does not, it
is asked a game of a few words, the control: what it refuses then, it refuses everywhere. Each
address of the judge speaks for itself, for it may have a key and an account of its own.
"""

import time
from dataclasses import dataclass

from arena.data.games import Game, Requests
from arena.journals.journal import Outcome

MOST_REFUSED = 10  # held back at once; games can be odd, but ten of them in a row hardly are


@dataclass(frozen=True, slots=True)
class Held:
    """A refused game. seconds: that the call took. at: when it was refused, monotonic."""

    game: Game
    outcome: Outcome
    seconds: float
    at: float


class Refusals:
    """The games held back, and the control while it is asked."""

    def __init__(self, settings: Requests, *, answered: bool = False):
        """answered: the judge has replied under these settings before, so its 400s that say what
        is wrong with a game are believed. Any other may be new: an account is emptied at any time.
        """
        self._settings = settings
        self._answered = answered
        self._held: list[Held] = []
        self.asked: Game | None = None  # the control without a reply: no other game is begun
        self._address = 0

    def doubts(self, outcome: Outcome) -> bool:
        """Whether the outcome may be none of the game's."""
        return outcome.is_refusal and (outcome.is_unexplained or not self._answered)

    def hold(self, game: Game, outcome: Outcome, seconds: float) -> None:
        self._held.append(Held(game, outcome, seconds, time.monotonic()))

    def replied(self, begun: float, address: int) -> list[Held]:
        """The judge replied to what was asked at `begun`: those whose refusal was their own."""
        self._answered = True
        own = [
            held
            for held in self._held
            if not self.doubts(held.outcome)
            or (held.outcome.address == address and held.at <= begun)
        ]
        self._held = [held for held in self._held if held not in own]
        return own

    def control(self, *, idle: bool) -> Game | None:
        """The control, where it is to be asked now. idle: no reply will come otherwise."""
        if self.asked or not self._held or not (idle or len(self._held) >= MOST_REFUSED):
            return None
        last = self._held[-1]
        self.asked = self._settings.control(last.game)
        self._address = last.outcome.address
        return self.asked

    def address(self, game: Game) -> int | None:
        """Where a game has to be asked: the control where the last refusal came from."""
        return self._address if game is self.asked else None

    def why(self, outcome: Outcome) -> str:
        """What is wrong, once the control was refused as well."""
        return (
            f"the judge refused {len(self._held)} games in a row and then one of a few words: "
            f"{outcome.reason}. So it is not about the games, and none of them counts as played. "
            "Correct the judge's settings (judge.sampling, judge.max_tokens), its server's, or the "
            "account"
        )
