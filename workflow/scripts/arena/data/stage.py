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
    title: str  # of a batch, before its name
    host: str  # the server where a reader sees both stages
    no_verdict: str  # about requests whose replies have no result
    unpublished: str  # about a model whose product is not where it belongs

    def are_open(self, number: int) -> str:
        """`1 game is open`, `8 games are open`."""
        return f"{counted(number, self.request)} {'is' if number == 1 else 'are'} open"


JUDGMENTS = Stage(
    block="judge",
    weights="judge.path",
    server="judge",
    request="game",
    result="verdict",
    product="judgments",
    title="batch",
    host="judge",
    no_verdict="games have no verdict",
    unpublished="all games are finished, but the judgments are missing or outdated",
)
ANSWERS = Stage(
    block="answers",
    weights="answers.models",
    server="server",
    request="answer",
    result="answer",
    product="answers",
    title="answers",
    host="model server",
    no_verdict="answers are empty",
    unpublished="all answers are in the journals, but the answer files are missing",
)
