"""Checkpoints of training runs: score against step, one curve per run."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from arena.data.checkpoints import compile_steps
from arena.ranking.leaderboard import Board, Row
from arena.support.errors import ConfigError
from arena.support.names import in_order


@dataclass(frozen=True, slots=True)
class Point:
    category: str
    run: str
    step: float
    row: Row


FINAL = re.compile(r"(.+)[-_.](final|last)", re.IGNORECASE)  # a run's last checkpoint


def run_and_step(pattern: re.Pattern, model: str) -> tuple[str, float] | None:
    """Return a checkpoint's run and step, or None for any other model. Steps: 1000, 1.5e3, 20k, 2M.

    The run is "" where the pattern has no group `run` or the group is empty.
    """
    match = pattern.search(model)
    if not match or match["step"] is None or match["step"].lower() in ("final", "last"):
        return None
    run = match["run"] if "run" in pattern.groupindex else ""
    number = re.fullmatch(r"(\d[\d_]*\.?\d*(?:e\d\d?)?)([kKmMbB]?)", match["step"])
    if not number:
        raise ConfigError(f"steps: {match['step']!r}, the step in {model!r}, is not a number")
    unit = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}[number[2].lower()]
    return run or "", float(number[1].replace("_", "")) * unit


def make_curves(boards: Sequence[Board], pattern: str) -> list[Point]:
    """Return the checkpoints of each table, by run and step.

    `<run>-final` is drawn after the run's last step, at the distance of the last two steps.
    """
    compiled = compile_steps(pattern)
    points = []
    for board in boards:
        steps = defaultdict[str, set[float]](set)
        finals = []
        for row in (row for row in board.rows if not row.is_baseline):
            match = compiled.search(row.model)
            if found := run_and_step(compiled, row.model):
                points.append(Point(board.category, *found, row))
                steps[found[0]].add(found[1])
            elif match and match["step"]:  # final, last
                finals.append((match.groupdict().get("run") or "", row))
            elif final := FINAL.fullmatch(row.model):
                finals.append((final[1], row))
        for run, row in finals:
            if run in steps:
                *_, before, last = [0.0, *sorted(steps[run])]
                points.append(Point(board.category, run, 2 * last - before, row))
    places = [board.category for board in boards]
    return sorted(points, key=lambda one: (places.index(one.category), in_order(one.run), one.step))
