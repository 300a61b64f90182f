"""Refused requests: is the request itself at fault, or everything that we send?

A refusal (HTTP 400 and the like) ends a game for good. So one that may be our fault (settings, an
account without credit) is held back until the server replies to a later request. If it does not, a
control is sent, a request of a few words: if that is refused too, everything is. Each address of a
server is treated on its own, because it may have a key and an account of its own.
"""

import time
from dataclasses import dataclass

from arena.data.games import Game, Requests
from arena.journals.journal import Outcome

MOST_HELD = 10  # single requests can be odd, but hardly ten in a row


@dataclass(frozen=True, slots=True)
class Held:
    """A refused game. seconds: that the call took. at: when it was refused, monotonic."""

    game: Game
    outcome: Outcome
    seconds: float
    at: float


class Refusals:
    """The refusals that are held back, and the control while it is in flight."""

    def __init__(self, settings: Requests, *, answered: bool = False):
        """answered: the server has replied under these settings before, so a refusal with a reason
        is the game's own. One without may be new: an account can run out of credit at any time.
        """
        self._settings = settings
        self._answered = answered
        self._held: list[Held] = []
        self.asked: Game | None = None  # the control without a reply: nothing else is sent
        self._address = 0

    def may_be_our_fault(self, outcome: Outcome) -> bool:
        return outcome.is_refusal and (outcome.is_unexplained or not self._answered)

    def hold(self, game: Game, outcome: Outcome, seconds: float) -> None:
        self._held.append(Held(game, outcome, seconds, time.monotonic()))

    def replied(self, begun: float, address: int) -> list[Held]:
        """The server replied to a request sent at `begun`: the refusals that this confirms."""
        self._answered = True
        confirmed = [
            held
            for held in self._held
            if not self.may_be_our_fault(held.outcome)
            or (held.outcome.address == address and held.at <= begun)
        ]
        self._held = [held for held in self._held if held not in confirmed]
        return confirmed

    def control(self, *, idle: bool) -> Game | None:
        """The control, if it is to be sent now. idle: no other reply will come."""
        if self.asked or not self._held or not (idle or len(self._held) >= MOST_HELD):
            return None
        last = self._held[-1]
        self.asked = self._settings.control(last.game)
        self._address = last.outcome.address
        return self.asked

    def address(self, game: Game) -> int | None:
        """The address to use: the control goes where the last refusal came from."""
        return self._address if game is self.asked else None

    def why(self, outcome: Outcome) -> str:
        """The error, once the control was refused too."""
        stage = self._settings.stage
        return (
            f"the {stage.server} refused {len(self._held)} requests in a row and then a test "
            f"request of a few words: {outcome.reason}. So the {stage.request}s are not the "
            f"cause, and none is recorded. Check {stage.block}.sampling, {stage.block}.max_tokens, "
            "the server's settings and the account"
        )
