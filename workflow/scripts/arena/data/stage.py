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
    model: str  # what it serves
    request: str  # one of the things it is asked
    result: str  # what a complete reply contains
    product: str  # what is written once all requests of a model have ended
    without_system: str  # what to do if the server accepts no system prompt

    def are_open(self, number: int) -> str:
        """`1 game is open`, `8 games are open`."""
        return f"{counted(number, self.request)} {'is' if number == 1 else 'are'} open"


JUDGMENTS = Stage(
    block="judge",
    weights="judge.path",
    server="judge",
    model="judge",
    request="game",
    result="verdict",
    product="judgments",
    without_system="Set judge.fold_system: true",
)
ANSWERS = Stage(
    block="answers",
    weights="answers.models",
    server="server",
    model="model",
    request="answer",
    result="answer",
    product="answers",
    without_system="Remove answers.system_prompt (or sys_prompt in api_config.yaml)",
)
