"""The terminal output of a run: a filter and formatter for the handler that writes Snakemake's log
messages. Snakemake's own log in .snakemake/log/ keeps all of them.

Snakemake gives each log record an `event`, as defined by its interface for logger plugins (a plugin
would have to be installed). Unknown messages are shown unchanged: warnings, errors, lines of other
workflows.
"""

import logging
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from arena.data.layout import JUDGMENTS, Layout, Stage
from arena.journals.batches import Attempt, read_attempts
from arena.journals.records import Status, StopKind, read_json
from arena.support.cli import discard
from arena.support.humanize import counted, duration, listing, share
from arena.support.table import Style, cut, lay_out

LOOK_S = 1.0
MINUTE_S = 60.0
WINDOW_S = 300.0  # as the monitor's: long enough for a slow judge to finish games in it
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
TOP = 5  # models of the leaderboard


class RunWatch:
    """The progress of a run, from its batches' records: a line when a batch starts, when its server
    is ready, when it ends, and once a minute how many games are finished.

    A look costs two `stat` calls for each batch; a file is read again only when it has changed.

    layouts: batch -> results folder. games: batch -> number of its games, or answers. played:
    how many of them are already in the journals. draw: draws a progress bar from a part (0 to 1)
    and a text, instead of the line of each minute.
    """

    def __init__(
        self,
        layouts: Mapping[str, Layout],
        run: str,
        games: Mapping[str, int],
        played: Mapping[str, int] | None = None,
        draw: Callable[[float, str], object] | None = None,
    ) -> None:
        self._layouts, self._run, self._games, self._draw = layouts, run, games, draw
        stages = {self._stage(batch) for batch in games}
        self._unit = "requests" if len(stages) == 2 else f"{next(iter(stages), JUDGMENTS).request}s"
        self._files: dict[Path, tuple[object, Any]] = {}
        self._reported: set[tuple[str, float | None, str]] = set()  # batch, attempt's start, event
        self._causes: dict[str, str] = {}  # cause -> whose line gave it first
        self._attempts: dict[str, Attempt | None] = {}  # at the last look
        self._played = dict(played or {})
        self._by_model = {batch: dict[str, int]() for batch in games}
        self._samples: deque[tuple[float, int]] = deque()  # time, finished games
        self._due = 0.0  # time of the next line of progress
        self._lock = threading.Lock()  # the watching thread looks, and so does the error handler

    def look(self, now: float) -> list[str]:
        """Lines for what has happened since the last look."""
        with self._lock:
            self._attempts = {batch: self._attempt(batch) for batch in self._games}
            lines = [line for batch in self._games for line in self._changes(batch)]
            is_running = "running" in map(_state, self._attempts.values())
            if not is_running:  # the speed is that of running batches only
                self._samples.clear()
                self._due = now + MINUTE_S
            self._samples.append((now, sum(self._played.values())))
            while self._samples[0][0] < now - WINDOW_S:
                self._samples.popleft()
            if is_running and self._draw:
                part = sum(self._played.values()) / max(1, sum(self._games.values()))
                self._draw(part, self.progress())
            elif now >= self._due:
                self._due = now + MINUTE_S
                lines.append(self.progress())
            return lines

    def _stage(self, batch: str) -> Stage:
        layout = self._layouts.get(batch)
        return layout.stage if layout else JUDGMENTS

    def name(self, batch: str) -> str:
        """As the plan and the log call it."""
        return f"{self._stage(batch).title} {batch}"

    def progress(self) -> str:
        """Finished games, games a second over the last minutes, time left at this speed."""
        played, games = sum(self._played.values()), sum(self._games.values())
        parts = [f"{played:,} of {games:,} {self._unit} ({share(played, games)})"]
        (start, first), (now, last) = self._samples[0], self._samples[-1]
        if last > first and now > start:
            speed = (last - first) / (now - start)
            left = duration((games - played) / speed)
            parts += [f"{speed:.1f} {self._unit}/s", f"{left} left"]
        states = [_state(attempt) for attempt in self._attempts.values()]
        numbers = [(states.count(name), name) for name in ("running", "starting", "waiting")]
        return ", ".join([*parts, *(f"{number} {name}" for number, name in numbers if number)])

    def kept(self) -> str:
        """Finished games; those of jobs that have not ended yet may become more."""
        played, games = sum(self._played.values()), sum(self._games.values())
        running = any(_state(one) in ("starting", "running") for one in self._attempts.values())
        return f"{'at least ' * running}{played:,} of {games:,} {self._unit}"

    def _attempt(self, batch: str) -> Attempt | None:
        """The newest of this run."""
        attempts = self._read(self._layouts[batch].attempts(batch), read_attempts) or [None]
        return attempts[-1] if attempts[-1] and attempts[-1].run == self._run else None

    def failure(self, batch: str, words: str = "", logs: Sequence[str] = ()) -> str | None:
        """A line with the cause and its log; None if this attempt's failure was already reported.

        words: the executor's message. logs: the job's own; the last lines of the first one are
        added if the batch itself recorded no cause.
        """
        attempt = self._attempt(batch)
        stop, start = (attempt.stop, attempt.start) if attempt else (None, None)
        if stop is not None and "'FAILED'" in words:
            words = ""  # says no more than the batch itself
        if (batch, start, "failed") in self._reported:
            return f"{self.name(batch)}: {words}" if words else None
        known = [(attempt and attempt.log) or "", str(self._layouts[batch].log(batch)), *logs]
        log = next((path for path in known if path and Path(path).exists()), known[1])
        if stop is None:
            end = [line for path in logs[:1] for line in last_lines(path, 5)]
            cause = words or "no cause was recorded"
            return "\n  ".join([f"{self.name(batch)} failed: {cause}. Log: {log}", *end])
        self._reported.add((batch, start, "failed"))
        cause = self.cause(stop.text, self.name(batch)) + f" ({words})" * bool(words)
        failed = "" if stop.kind is StopKind.STOPPED else " failed"
        return f"{self.name(batch)}{failed}: {cause}. Log: {log}"

    def cause(self, text: str, whose: str) -> str:
        """The cause in one line, or a reference to the line that gave it first."""
        short = text.partition("\n")[0].rstrip(" .:") or "no cause was recorded"
        first = self._causes.setdefault(short, whose)
        return short if first == whose else f"the same cause as {first}"

    def _changes(self, batch: str) -> list[str]:
        attempt = self._attempts[batch]
        if attempt is None or (batch, attempt.start, "end") in self._reported:
            return []
        status = self._read(self._layouts[batch].status(batch), Status.read)
        if status is not None and status.time >= attempt.start:
            # Without the models that an earlier attempt completed.
            self._by_model[batch] |= {name: one.played for name, one in status.models.items()}
            self._played[batch] = sum(self._by_model[batch].values())
        job = f" (Slurm job {attempt.job})" if attempt.job else ""
        events = {"start": f"started on {attempt.node}{job}"}
        if attempt.ready is not None:
            host = self._stage(batch).host
            events["ready"] = f"the {host} is ready after {duration(attempt.ready - attempt.start)}"
        if attempt.end is not None and attempt.stop is None:
            events["end"] = f"done after {duration(attempt.end - attempt.start)}"
            self._played[batch] = self._games[batch]  # its last status may be seconds older
        new = [key for key in events if (batch, attempt.start, key) not in self._reported]
        self._reported |= {(batch, attempt.start, key) for key in new}
        lines = [f"{self.name(batch)}: {events[key]}" for key in new]
        if attempt.end is not None and attempt.stop and (line := self.failure(batch)):
            lines.append(line)
        return lines

    def _read(self, path: Path, read: Callable[[Path], Any]) -> Any:
        try:
            stat = path.stat()
        except OSError:
            return None
        version = stat.st_mtime_ns, stat.st_ino
        if path not in self._files or self._files[path][0] != version:
            self._files[path] = version, read(path)
        return self._files[path][1]


def _state(attempt: Attempt | None) -> str:
    if attempt is None:
        return "waiting"
    if attempt.end is not None:
        return "ended"
    return "starting" if attempt.ready is None else "running"


def last_lines(path: str | Path, number: int) -> list[str]:
    """The last lines of a log that are not blank; [] if it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-number:]


def watch_run(watch: RunWatch, say: Callable[[str], object], is_on: Callable[[], object]) -> None:
    """Report progress from a thread until `is_on` is false."""

    def go() -> None:
        time.sleep(LOOK_S)
        while is_on():
            for line in watch.look(time.time()):
                say(line)
            time.sleep(LOOK_S)

    threading.Thread(target=go, name="run-watch", daemon=True).start()


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
    """root: `<results_dir>/<bench>/<judge>`. monitor: the command that shows this campaign. dry: a
    dry run, which ends with `plan`, the list of its batches. watch: None before jobs exist. models:
    to be judged in this run. pilot: the notes on it, if it is one. left_out: number of selected
    models that cannot be judged.
    """

    def __init__(
        self, handler: logging.Handler, root: Path, judgments: str, monitor: str, *, dry: bool
    ) -> None:
        self.handler, self._dry, self._monitor = handler, dry, monitor
        self._root, self._judgments = root, judgments
        self._original = handler.formatter or logging.Formatter()
        self.plan, self.models, self.pilot = tuple[str, ...](), tuple[str, ...](), tuple[str, ...]()
        self.watch: RunWatch | None = None
        self.left_out = 0
        self._jobs: dict[int, tuple[str, Mapping[str, str]]] = {}
        self._finished: list[tuple[str, Mapping[str, str]]] = []
        self._shown: set[str] = set()  # messages that are shown only once
        self._has_ended = self._is_stopped = self._gave_up = False
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
        return CLEAR + text if text and self.is_terminal else text

    def draw(self, part: float, progress: str) -> None:
        """Draw a progress bar in the terminal's last line; the next message replaces it."""
        stream: Any = vars(self.handler)["stream"]
        unicode = (stream.encoding or "").lower().startswith("utf")
        bar = Style(colour=False, unicode=unicode).bar(part, 12)
        line = cut(f"{bar} {progress}", shutil.get_terminal_size().columns - 1)
        assert self.handler.lock
        with self.handler.lock:
            if not self._has_ended:
                stream.write(CLEAR + line)
                stream.flush()

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
        batch, model, logs = wildcards.get("batch"), wildcards.get("model", ""), list(job["log"])
        if batch and self.watch and ("gen_judgment" in rule or "gen_answer" in rule):
            return self.watch.failure(batch, words, logs) or ""
        ends = (line for log in logs for line in last_lines(log, 50))
        lines = [line.removeprefix("judgment: ") for line in ends]
        own = [line for line in lines if model and line.startswith(f"{model}: ")]
        if own and self.watch:
            games, opened, why = own[0].partition(" are open: ")
            why = (why or games).partition(". Log: ")[0]
            if not self._is_first(why):
                return ""  # as for another model; the summary lists all of them
            cause = self.watch.cause(why, model)
            return f"{games}{opened}{cause}. Log: {logs[0]}" if opened else own[0]
        cause = words or "".join(lines[-1:]) or "it exited with an error and printed nothing"
        return f"{self._name(job['jobid'])} failed: {cause}. Log: {', '.join(logs)}"

    def _summary(self, elapsed: str) -> Iterator[str]:
        """The end: the top of the leaderboard, what was not judged, and where to find all."""
        is_ranked = any(rule == "show_result" for rule, _ in self._finished)
        judged = {w["model"] for rule, w in self._finished if "model" in w and "answer" not in rule}
        asked = any("judgment" in rule for rule, _ in self._jobs.values())
        missing = [model for model in self.models if asked and model not in judged]
        if is_ranked:
            yield from top(self._root / "leaderboard.json", self.pilot)
        if (is_ranked or missing) and self.left_out:
            yield f"Left out: {counted(self.left_out, 'model')}. Why: see `left out` above."
        if self._is_stopped:
            kept = self.watch.kept() if self.watch else "0 games"
            yield f"Stopped; {kept} are kept. Run the same command again to continue."
        elif missing:
            number = f"{len(missing)} of {counted(len(self.models), 'model')}"
            yield f"{number} not judged: {listing(missing)}."
            yield f"Why: {self._monitor}"
            yield "Run the same command again to judge them."
        if is_ranked or missing:
            yield f"Leaderboard, journals, logs: {self._root}/   Judgments: {self._judgments}/"
        yield elapsed


def top(path: Path, pilot: tuple[str, ...]) -> list[str]:
    """The first rows of the overall table; [] if there is no table."""
    table = read_json(path)
    overall = [row for row in table.get("rows", ()) if row["category"] == "overall"]
    rows = [row for row in overall if not row["is_plain"]]  # not comparable with the other scores
    if not rows:
        return []
    cells = [["", "model", "score", "interval"]]
    for place, row in enumerate(rows[:TOP], 1):
        score, lower, upper = row["score"], row["lower"], row["upper"]
        known = None not in (score, lower, upper)
        numbers = [f"{score:.1f}", f"{lower:.1f} to {upper:.1f}"] if known else ["–", ""]
        model = row["model"] + " (baseline)" * row["is_baseline"]
        cells.append([str(place), model, *numbers])
    notes = [*pilot, *["a toy judge: these numbers mean nothing"] * bool(table.get("toy"))]
    note = f" ({'; '.join(notes)})" if notes else ""
    return [f"Top {len(cells) - 1} of {len(rows)}{note}:", *lay_out(cells, left=(1,))]
