"""The terminal output of a run: a filter and formatter for the handler that writes Snakemake's log
messages. Snakemake's own log in .snakemake/log/ keeps all of them.

Snakemake gives each log record an `event`, as defined by its interface for logger plugins (a plugin
would have to be installed). Unknown messages are shown unchanged: warnings, errors, lines of other
workflows.
"""

import logging
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from typing import Any

from arena.campaign.run_watch import RunWatch, last_lines
from arena.campaign.summary import Places, summary
from arena.support.cli import discard
from arena.support.table import Style, cut

HIDDEN_EVENTS = (
    *("workflow_started", "job_started", "job_finished", "progress", "resources_info"),
    *("job_info", "group_info"),
)
# Beginnings of hidden messages of Snakemake and its Slurm plugin that have no event.
NOISE = re.compile(
    "Building DAG of jobs|Using shell:|Conda environments: ignored|Select jobs to execute|Reasons:"
    "|This was a dry-run|Touching output file|Removing temporary|Would remove temporary|Some jobs "
    r"were triggered by|Rules with provenance|\d+ jobs have (missing|outdated)|SLURM run ID|Job "
    r"rate limit reached|MinJobAge \d+s \(>=|Exiting because a job execution failed"
)
SUBMITTED = re.compile(r"Job (\d+) has been (submitted with SLURM jobid \d+)")
AGAIN = re.compile(r"Trying to restart job (\d+)")
# Snakemake's messages on Ctrl-C and SIGTERM; and ours, if a batch gave up and SIGTERM is our own.
STOPPING = ("Terminating processes on user request", "Will exit after finishing")
GIVEN_UP = "Nothing more is submitted"
CLEAR = "\r\x1b[K"  # removes the bar from its line
TAIL = "\n    sbatch call:"  # the plugin appends the whole command to Slurm's message


def outlive_reader(handler: Any) -> None:
    """Let a run go on when nobody reads its output any more (`snakemake 2>&1 | head`).

    The handler would raise BrokenPipeError into whichever thread of Snakemake logs a message: the
    run fails, or waits forever for the thread.
    """
    emit = handler.emit

    def emit_or_discard(record: logging.LogRecord) -> None:
        try:
            emit(record)
        except BrokenPipeError:
            discard(handler.stream)

    handler.emit = emit_or_discard


class Screen:
    """dry: a dry run, which ends with the list of its batches. watch: None before jobs exist."""

    def __init__(self, handler: logging.Handler, places: Places, *, dry: bool) -> None:
        self.handler, self.places, self._dry = handler, places, dry
        self._original = handler.formatter or logging.Formatter()
        self.plan: tuple[str, ...] = ()
        self.watch: RunWatch | None = None
        self.models: tuple[str, ...] = ()  # to be judged in this run
        self._jobs: dict[int, tuple[str, Mapping[str, str]]] = {}
        self._finished: list[tuple[str, Mapping[str, str]]] = []
        self._shown: set[str] = set()  # messages that are shown only once
        self._has_ended = self._has_bar = self._is_stopped = self._gave_up = False
        handler.addFilter(self)
        handler.setFormatter(self)  # type: ignore[arg-type]  # it has `format`, the only one used

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
        elif event == "error":  # a `job_error` with the log follows
            return "CalledProcessError" not in text
        self._has_ended |= text.startswith("Elapsed time")
        self._gave_up |= text.startswith(GIVEN_UP)
        self._is_stopped |= text.startswith(STOPPING) and not self._gave_up
        if self.watch and (self._has_ended or event in ("job_finished", "job_error")):
            for line in self.watch.look(time.time()):  # before Snakemake's message
                logging.getLogger(record.name).info(line)
        is_quiet = hasattr(record, "quietness") and record.levelno <= logging.INFO
        if is_quiet or event in HIDDEN_EVENTS or (not event and NOISE.match(text)):
            return False
        # The Slurm plugin repeats its warnings at each submission.
        repeats = record.levelno == logging.WARNING or text.startswith("Will exit after finishing")
        return not repeats or self._is_first(text)

    def format(self, record: logging.LogRecord) -> str:
        text = self._text(record)
        if text and self._has_bar:
            self._has_bar, text = False, CLEAR + text
        return text

    def draw(self, part: float, progress: str) -> None:
        """Draw a progress bar in the terminal's last line; the next message replaces it."""
        stream: Any = vars(self.handler)["stream"]
        unicode = (stream.encoding or "").lower().startswith("utf")
        bar = Style(colour=False, unicode=unicode).bar(part, 12)
        line = cut(f"{bar} {progress}", shutil.get_terminal_size().columns - 1)
        self.handler.acquire()
        try:
            if not self._has_ended:
                stream.write(CLEAR + line)
                stream.flush()
                self._has_bar = True
        finally:
            self.handler.release()

    def _is_first(self, message: str) -> bool:
        is_first = message not in self._shown
        self._shown.add(message)
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
            return f"{self._name(int(found[1]))}: will be retried"
        return self._original.format(record)

    def _name(self, job: int) -> str:
        rule, wildcards = self._jobs.get(job, (f"job {job}", {}))
        if "batch" in wildcards and self.watch:
            return self.watch.name(wildcards["batch"])
        return " ".join([rule, *wildcards.values()])

    def _failure(self, job: Mapping[str, Any]) -> str:
        """One line: what failed, why, and its log."""
        rule, wildcards = self._jobs.get(job["jobid"], (job["rule_name"], {}))
        words = " ".join(str(job.get("rule_msg") or "").partition(TAIL)[0].split()).rstrip(". ")
        batch, model, logs = wildcards.get("batch"), wildcards.get("model"), list(job["log"])
        if batch and self.watch and ("gen_judgment" in rule or "gen_answer" in rule):
            return self.watch.failure(batch, words, logs) or ""
        ends = (line for log in logs for line in last_lines(log, 50))
        lines = [line.removeprefix("judgment: ") for line in ends]
        if (
            model
            and self.watch
            and (own := [line for line in lines if line.startswith(f"{model}: ")])
        ):
            games, opened, why = own[0].partition(" are open: ")
            why = (why or games).partition(". Log: ")[0]
            if not self._is_first(why):
                return ""  # as for another model; the summary lists all of them
            cause = self.watch.cause(why, model)
            return f"{games}{opened}{cause}. Log: {logs[0]}" if opened else own[0]
        cause = words or "".join(lines[-1:]) or "it exited with an error and printed nothing"
        return f"{self._name(job['jobid'])} failed: {cause}. Log: {', '.join(logs)}"

    def _summary(self, elapsed: str) -> Iterable[str]:
        rules = {rule for rule, _ in self._finished}
        judged = {w["model"] for rule, w in self._finished if "model" in w and "answer" not in rule}
        asked = any("judgment" in rule for rule, _ in self._jobs.values())
        missing = [model for model in self.models if asked and model not in judged]
        kept = (self.watch.kept() if self.watch else "0 games") if self._is_stopped else None
        return summary(self.places, "show_result" in rules, self.models, missing, elapsed, kept)
