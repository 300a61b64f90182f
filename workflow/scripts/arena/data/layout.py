"""Every path of a campaign's own files, below `<results_dir>/<bench>/<judge>`.

batches/<batch>.json        what a batch is asked to do (BatchPlan)
batches/<run>.stop.json     why a run submits nothing more (RunStop)
played/<batch>              models whose judgments it has made; there once it ended by itself
games/<model>.jsonl         the journal: a line a finished game
made/<model>.jsonl, .json   judgments made of the journal, and what they were made from (Made)
logs/<batch>/               batch.json (Attempt), status.json (Status), gen_judgment.log, server.log
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of one campaign; root: `<results_dir>/<bench>/<judge>`."""

    root: Path

    def batch(self, batch: str) -> Path:
        return self.root / "batches" / f"{batch}.json"

    def run_stop(self, run: str) -> Path:
        return self.root / "batches" / f"{run}.stop.json"

    def played(self, batch: str) -> Path:
        """A line a model; Snakemake removes it."""
        return self.root / "played" / batch

    def journal(self, model: str) -> Path:
        return self.root / "games" / f"{model}.jsonl"

    def journals(self) -> list[Path]:
        return sorted(self.root.glob("games/*.jsonl"))

    def made(self, model: str) -> Path:
        return self.root / "made" / f"{model}.jsonl"

    def made_record(self, model: str) -> Path:
        return self.root / "made" / f"{model}.json"

    def logs(self, batch: str) -> Path:
        return self.root / "logs" / batch

    def attempts(self, batch: str) -> Path:
        return self.logs(batch) / "batch.json"

    def status(self, batch: str) -> Path:
        return self.logs(batch) / "status.json"

    def log(self, batch: str) -> Path:
        """What the batch's program says."""
        return self.logs(batch) / "gen_judgment.log"

    def server_log(self, batch: str) -> Path:
        return self.logs(batch) / "server.log"

    def batch_names(self) -> list[str]:
        """Of all batches that left a plan or a record, sorted."""
        planned = {path.stem for path in self.root.glob("batches/*.json")}
        begun = {path.parent.name for path in self.root.glob("logs/*/batch.json")}
        return sorted(name for name in planned | begun if not name.endswith(".stop"))

    @property
    def validation(self) -> Path:
        return self.root / "validation.json"

    @property
    def validation_table(self) -> Path:
        return self.root / "validation.tsv"

    @property
    def answers_memory(self) -> Path:
        """What is known of answer files, by size and time; may be deleted at any time."""
        return self.root / ".answers.json"

    @property
    def digests(self) -> Path:
        """SHA-256 of input files, by path and state; may be deleted at any time."""
        return self.root / ".digests.json"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def forecast(self) -> Path:
        return self.root / "forecast.json"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.tsv"

    @property
    def adopted(self) -> Path:
        """Judgment files of others, moved aside once their games were taken in."""
        return self.root / "adopted"

    @property
    def reopened(self) -> Path:
        """Judgment files of ours, moved aside because games of theirs are asked again."""
        return self.root / "reopened"
