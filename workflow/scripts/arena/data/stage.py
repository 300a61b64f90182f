"""The words for a stage of the workflow, so that the messages of shared code fit both stages.

Models are first asked for answers, if the config has `answers`; then a judge compares the answers.
"""

from dataclasses import dataclass

from arena.support.humanize import counted


@dataclass(frozen=True)
class Stage:
    block: str  # of config.yaml
    weights: str  # the key that says where the weights are
    server: str  # who is asked
    request: str  # one of the things it is asked
    result: str  # what a complete reply contains
    product: str  # what is written once all requests of a model have ended

    def are_open(self, number: int) -> str:
        """`1 game is open`, `8 games are open`."""
        return f"{counted(number, self.request)} {'is' if number == 1 else 'are'} open"


JUDGMENTS = Stage("judge", "judge.path", "judge", "game", "verdict", "judgments")
ANSWERS = Stage("answers", "answers.models", "server", "answer", "answer", "answers")
