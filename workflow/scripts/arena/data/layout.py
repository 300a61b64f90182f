"""A campaign: the words for its stages, its files below `<results_dir>/<bench>/<judge>`.

batches/<batch>.json        the plan of a batch (BatchPlan)
batches/<run>.stop.json     why a run submits no more jobs (RunStop)
played/<batch>              written when a batch ends: the models whose judgments it has made
games/<model>.jsonl         the journal: one line for each finished game
made/<model>.jsonl, .json   judgments made from the journal, and their inputs (Made)
stale/<model>               newer than judgments made from other settings or inputs than today's
logs/<batch>/               batch.json (Attempt), status.json (Status), gen_judgment.log, server.log
"""

from dataclasses import dataclass
from pathlib import Path

from arena.support.humanize import counted


@dataclass(frozen=True)
class Stage:
    """The words for a stage of the workflow: models are asked for answers, if the config has
    `answers`; then a judge compares the answers.
    """

    block: str  # of config.yaml
    weights: str  # the key that says where the weights are
    server: str  # who is asked
    request: str  # one of the things it is asked
    result: str  # what a complete reply contains
    product: str  # what is written once all requests of a model have ended
    title: str  # of a batch, before its name
    host: str  # the server where a reader sees both stages
    missed: str  # heading of the number of requests whose replies have no result
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
    missed="no verdict",
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
    missed="empty",
    no_verdict="answers are empty",
    unpublished="all answers are in the journals, but the answer files are missing",
)


class Layout:
    """The files of one campaign; root: `<results_dir>/<bench>/<judge>`.

    answers_memory: cache of facts about answer files; digests: cache of SHA-256 of input files;
    both may be deleted at any time. adopted: other tools' judgment files that were imported.
    reopened: judgment files some of whose games are asked again. replaced: answer files of a
    pilot, or some of whose answers are asked again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.validation = root / "validation.json"
        self.validation_table = root / "validation.tsv"
        self.answers_memory = root / ".answers.json"
        self.digests = root / ".digests.json"
        self.plan = root / "plan.json"
        self.forecast = root / "forecast.json"
        self.ledger = root / "ledger.tsv"
        self.adopted = root / "adopted"
        self.reopened = root / "reopened"
        self.replaced = root / "replaced"

    @property
    def stage(self) -> Stage:
        return ANSWERS if self.root.name == "answers" else JUDGMENTS

    def batch(self, batch: str) -> Path:
        return self.root / "batches" / f"{batch}.json"

    def run_stop(self, run: str) -> Path:
        return self.root / "batches" / f"{run}.stop.json"

    def played(self, batch: str) -> Path:
        return self.root / "played" / batch

    def journal(self, model: str) -> Path:
        return self.root / "games" / f"{model}.jsonl"

    def journals(self) -> list[Path]:
        return sorted(self.root.glob("games/*.jsonl"))

    def made(self, model: str) -> Path:
        return self.root / "made" / f"{model}.jsonl"

    def made_record(self, model: str) -> Path:
        return self.root / "made" / f"{model}.json"

    def stale(self, model: str) -> Path:
        return self.root / "stale" / model

    def logs(self, batch: str) -> Path:
        return self.root / "logs" / batch

    def attempts(self, batch: str) -> Path:
        return self.logs(batch) / "batch.json"

    def status(self, batch: str) -> Path:
        return self.logs(batch) / "status.json"

    def log(self, batch: str) -> Path:
        return self.logs(batch) / "gen_judgment.log"

    def server_log(self, batch: str) -> Path:
        return self.logs(batch) / "server.log"

    def batch_names(self) -> list[str]:
        planned = {path.stem for path in self.root.glob("batches/*.json")}
        begun = {path.parent.name for path in self.root.glob("logs/*/batch.json")}
        return sorted(name for name in planned | begun if not name.endswith(".stop"))
