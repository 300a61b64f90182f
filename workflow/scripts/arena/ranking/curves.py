"""Checkpoints of a training run: score against step, one curve a run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from arena.data.checkpoints import compile_steps
from arena.ranking.leaderboard import Board, Row
from arena.support.errors import ConfigError
from arena.support.names import in_order


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint on its run's curve."""

    category: str
    run: str
    step: float
    row: Row


# A run's last checkpoint, which says no number.
FINAL = re.compile(r"(.+)[-_.](final|last)", re.IGNORECASE)


def run_and_step(pattern: re.Pattern, model: str) -> tuple[str, float] | None:
    """Return a checkpoint's run and step, or None for any other model. Steps: 1000, 1.5e3, 20k, 2M.

    A name without the group `run`, or with an empty one, belongs to the run "".
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
    """Return the checkpoints among the models of each table, by run and step; [] without any.

    `<run>-final` stands behind the run's last step, as far as that is from the one before.
    """
    compiled = compile_steps(pattern)
    points = []
    for board in boards:
        steps: dict[str, set[float]] = {}
        finals = []
        for row in board.rows:
            if row.is_baseline:
                continue
            match = compiled.search(row.model)
            if found := run_and_step(compiled, row.model):
                points.append(Point(board.category, *found, row))
                steps.setdefault(found[0], set()).add(found[1])
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
