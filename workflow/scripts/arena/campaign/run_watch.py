"""The progress of a run, from its batches' records: a line when a batch starts, when its server is
ready, when it ends, and once a minute how many games are finished.

A look costs two `stat` calls for each batch; a file is read again only when it has changed.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from arena.data.layout import Layout
from arena.data.stage import JUDGMENTS, Stage
from arena.journals.attempts import Attempt, read_attempts
from arena.journals.records import Status, StopKind
from arena.support.humanize import duration, share

LOOK_S = 1.0
MINUTE_S = 60.0
WINDOW_S = 300.0  # as the monitor's: long enough for a slow judge to finish games in it


class RunWatch:
    """layouts: batch -> results folder. games: batch -> number of its games, or answers. played:
    how many of them are already in the journals. minutes: False if a progress bar shows what the
    line of each minute would say.
    """

    def __init__(
        self,
        layouts: Mapping[str, Layout],
        run: str,
        games: Mapping[str, int],
        played: Mapping[str, int] | None = None,
        *,
        minutes: bool = True,
    ) -> None:
        self._layouts, self._run, self._games, self._minutes = layouts, run, games, minutes
        stages = {self._stage(batch) for batch in games}
        unit = "request" if len(stages) == 2 else next(iter(stages), JUDGMENTS).request
        self._unit = f"{unit}s"
        self._files: dict[Path, tuple[object, Any]] = {}
        self._reported: set[tuple[str, float | None, str]] = set()  # batch, attempt's start, event
        self._causes: dict[str, str] = {}  # cause -> whose line gave it first
        self._attempts: dict[str, Attempt | None] = {}  # at the last look
        self._played = dict(played or {})
        self._before: dict[str, int] = {}  # games that were finished when the server was ready
        self._samples: deque[tuple[float, int]] = deque()  # time, games of this run
        self._due: float | None = None
        self._lock = threading.Lock()  # the watching thread looks, and so does the error handler

    def look(self, now: float) -> list[str]:
        """Lines for what has happened since the last look."""
        with self._lock:
            self._attempts = {batch: self._attempt(batch) for batch in self._games}
            lines = [line for batch in self._games for line in self._changes(batch)]
            self._sample(now)
            if not self.is_running:
                self._due = None
            elif self._due is None:
                self._due = now + MINUTE_S
            elif now >= self._due:
                self._due = now + MINUTE_S
                lines += [self.progress()] * self._minutes
            return lines

    def _stage(self, batch: str) -> Stage:
        layout = self._layouts.get(batch)
        return layout.stage if layout else JUDGMENTS

    def name(self, batch: str) -> str:
        """As the plan and the log call it."""
        return f"{self._stage(batch).title} {batch}"

    @property
    def is_running(self) -> bool:
        return "running" in map(_state, self._attempts.values())

    @property
    def part(self) -> float:
        """Part of all games that are finished, 0 to 1."""
        return sum(self._played.values()) / max(1, sum(self._games.values()))

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
        start = attempt.start or 0
        status = self._read(self._layouts[batch].status(batch), Status.read)
        if status is not None and status.time >= start:
            self._played[batch] = sum(model.played for model in status.models.values())
            if attempt.ready is not None and status.time >= attempt.ready:
                self._before.setdefault(batch, self._played[batch])
        job = f" (Slurm job {attempt.job})" if attempt.job else ""
        events = {"start": f"started on {attempt.node}{job}"}
        if attempt.ready is not None:
            host = self._stage(batch).host
            events["ready"] = f"the {host} is ready after {duration(attempt.ready - start)}"
        if attempt.end is not None and attempt.stop is None:
            events["end"] = f"done after {duration(attempt.end - start)}"
            self._played[batch] = self._games[batch]  # its last status may be seconds older
        new = [key for key in events if (batch, attempt.start, key) not in self._reported]
        self._reported |= {(batch, attempt.start, key) for key in new}
        lines = [f"{self.name(batch)}: {events[key]}" for key in new]
        if attempt.end is not None and attempt.stop and (line := self.failure(batch)):
            lines.append(line)
        return lines

    def _sample(self, now: float) -> None:
        """Start again when no batch is running, so that the speed covers running ones only."""
        if not self.is_running:
            self._samples.clear()
        done = sum(self._played[batch] - self._before[batch] for batch in self._before)
        self._samples.append((now, done))
        while self._samples[0][0] < now - WINDOW_S:
            self._samples.popleft()

    def _read(self, path: Path, read: Callable[[Path], Any]) -> Any:
        try:
            stat = path.stat()
        except OSError:
            return None
        version, (known, value) = (stat.st_mtime_ns, stat.st_ino), self._files.get(path, ((), None))
        if known != version:
            value = read(path)
            self._files[path] = version, value
        return value


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


def watch_run(
    watch: RunWatch,
    say: Callable[[str], object],
    is_on: Callable[[], object],
    draw: Callable[[float, str], object] | None = None,
) -> None:
    """Report progress from a thread until `is_on` is false. draw: draws a progress bar."""

    def go() -> None:
        time.sleep(LOOK_S)
        while is_on():
            for line in watch.look(time.time()):
                say(line)
            if draw and watch.is_running:
                draw(watch.part, watch.progress())
            time.sleep(LOOK_S)

    threading.Thread(target=go, name="run-watch", daemon=True).start()
