"""What a person sees of a run, in place of Snakemake's blocks: a filter and formatter of the
handler that writes to the terminal. Snakemake's own log in .snakemake/log/ keeps everything.

Snakemake gives each record of its log an `event`, as its interface for logger plugins has them (a
plugin itself would have to be installed). What is not known here is shown as it comes: warnings,
errors, lines of other workflows.
"""

import logging
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from typing import Any

from arena.campaign.run_watch import RunWatch, last_lines
from arena.campaign.summary import Places, summary
from arena.support.table import Style, cut

HIDDEN_EVENTS = (
    *("workflow_started", "job_started", "job_finished", "progress", "resources_info"),
    *("job_info", "group_info"),
)
# Lines of Snakemake and its Slurm plugin that carry no event, by their beginnings.
NOISE = re.compile(
    "Building DAG of jobs|Using shell:|Conda environments: ignored|Select jobs to execute|Reasons:"
    "|This was a dry-run|Touching output file|Removing temporary|Would remove temporary|Some jobs "
    r"were triggered by|Rules with provenance|\d+ jobs have (missing|outdated)|SLURM run ID|Job "
    r"rate limit reached|MinJobAge \d+s \(>=|Exiting because a job execution failed"
)
SUBMITTED = re.compile(r"Job (\d+) has been (submitted with SLURM jobid \d+)")
AGAIN = re.compile(r"Trying to restart job (\d+)")
CLEAR = "\r\x1b[K"  # what a bar left on its line
TAIL = "\n    sbatch call:"  # the plugin adds the whole command to Slurm's words


class Screen:
    """dry: of a dry run, which ends with its batches. watch: None before there is something."""

    def __init__(self, handler: logging.Handler, places: Places, *, dry: bool) -> None:
        self.handler, self._places, self._dry = handler, places, dry
        self._original = handler.formatter or logging.Formatter()
        self.plan: tuple[str, ...] = ()
        self.watch: RunWatch | None = None
        self.models: tuple[str, ...] = ()  # that get their judgments in this run
        self._jobs: dict[int, tuple[str, Mapping[str, str]]] = {}
        self._finished: list[tuple[str, Mapping[str, str]]] = []
        self._once: set[str] = set()  # what is shown once only
        self._has_ended = self._has_bar = False
        handler.addFilter(self)
        handler.setFormatter(self)  # type: ignore[arg-type]  # all that a handler asks of one

    @property
    def is_terminal(self) -> bool:
        isatty = getattr(getattr(self.handler, "stream", None), "isatty", None)
        return bool(isatty and isatty())

    def filter(self, record: logging.LogRecord) -> bool:
        event, text = str(getattr(record, "event", None) or ""), str(record.msg)
        if event == "job_info":
            fields = vars(record)
            self._jobs[fields["jobid"]] = fields["rule_name"], dict(fields["wildcards"])
        elif event == "job_finished":
            self._finished.append(self._jobs.get(vars(record).get("job_id", -1), ("", {})))
        elif event == "run_info":
            return self._dry and self._is_first(event)
        elif event == "error":  # the job's own record, which follows, has its log
            return "CalledProcessError" not in text
        self._has_ended |= text.startswith("Elapsed time")
        if self.watch and (self._has_ended or event in ("job_finished", "job_error")):
            for line in self.watch.look(time.time()):  # before what Snakemake says of it
                logging.getLogger(record.name).info(line)
        if hasattr(record, "quietness") and record.levelno <= logging.INFO:
            return False
        if event in HIDDEN_EVENTS or (not event and NOISE.match(text)):
            return False
        again = record.levelno == logging.WARNING or text.startswith("Will exit after finishing")
        return not again or self._is_first(text)  # the Slurm plugin warns at each submission

    def format(self, record: logging.LogRecord) -> str:
        text = self._text(record)
        if text and self._has_bar:
            self._has_bar, text = False, CLEAR + text
        return text

    def draw(self, part: float, standing: str) -> None:
        """A bar in the last line of a terminal, which the next line of text replaces."""
        stream: Any = vars(self.handler)["stream"]
        unicode = (stream.encoding or "").lower().startswith("utf")
        bar = Style(colour=False, unicode=unicode).bar(part, 12)
        line = cut(f"{bar} {standing}", shutil.get_terminal_size().columns - 1)
        self.handler.acquire()
        try:
            if not self._has_ended:
                stream.write(CLEAR + line)
                stream.flush()
                self._has_bar = True
        finally:
            self.handler.release()

    def _is_first(self, what: str) -> bool:
        is_first = what not in self._once
        self._once.add(what)
        return is_first

    def _text(self, record: logging.LogRecord) -> str:
        event, text = str(getattr(record, "event", None) or ""), str(record.msg)
        if event == "job_error":
            return self._failure(vars(record))
        if event == "run_info":
            return "\n".join([self._original.format(record).rstrip("\n"), *self.plan])
        if text.startswith("Elapsed time"):
            return "\n".join(self._summary(text))
        if found := SUBMITTED.match(text):
            return f"{self._name(int(found[1]))}: {found[2]}"
        if found := AGAIN.match(text):
            return f"{self._name(int(found[1]))}: will be tried again"
        return self._original.format(record)

    def _name(self, job: int) -> str:
        rule, wildcards = self._jobs.get(job, (f"job {job}", {}))
        if "batch" in wildcards and self.watch:
            return self.watch.name(wildcards["batch"])
        return " ".join([rule, *wildcards.values()])

    def _failure(self, job: Mapping[str, Any]) -> str:
        """One line: what failed, why, its log."""
        rule, wildcards = self._jobs.get(job["jobid"], (job["rule_name"], {}))
        words = " ".join(str(job.get("rule_msg") or "").partition(TAIL)[0].split()).rstrip(". ")
        batch, model, logs = wildcards.get("batch"), wildcards.get("model"), list(job["log"])
        if batch and self.watch and ("gen_judgment" in rule or "gen_answer" in rule):
            return self.watch.failure(batch, words, logs) or ""
        lines = (line for log in logs for line in last_lines(log, 50))
        said = [line.removeprefix("judgment: ") for line in lines]
        if model and self.watch and (own := [one for one in said if one.startswith(f"{model}: ")]):
            games, opened, why = own[0].partition(" are open: ")
            why = (why or games).partition(". Log: ")[0]
            if not self._is_first(why):
                return ""  # the same as another model's, and the summary names them all
            said_before = self.watch.cause(why, model)
            return f"{games}{opened}{said_before}. Log: {logs[0]}" if opened else own[0]
        cause = words or "".join(said[-1:]) or "it ended with an error and wrote nothing"
        return f"{self._name(job['jobid'])} failed: {cause}. Log: {', '.join(logs)}"

    def _summary(self, elapsed: str) -> Iterable[str]:
        rules = {rule for rule, _ in self._finished}
        judged = {w["model"] for rule, w in self._finished if "model" in w and "answer" not in rule}
        asked = any("judgment" in rule for rule, _ in self._jobs.values())
        missing = [model for model in self.models if asked and model not in judged]
        return summary(self._places, "show_result" in rules, self.models, missing, elapsed)
