"""Checkpoints of a training run: score against step, one curve a run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from arena.data.checkpoints import compile_steps
from arena.ranking.leaderboard import Board, Row
from arena.support.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint on its run's curve."""

    category: str
    run: str
    step: float
    row: Row


def run_and_step(pattern: re.Pattern, model: str) -> tuple[str, float] | None:
    """Return a checkpoint's run and step, or None for any other model. Steps: 1000, 1.5e3, 20k, 2M.

    A name without the group `run`, or with an empty one, belongs to the run "".
    """
    match = pattern.search(model)
    if not match or match["step"] is None:
        return None
    run = match["run"] if "run" in pattern.groupindex else ""
    number = re.fullmatch(r"(\d[\d_]*\.?\d*(?:e\d\d?)?)([kKmMbB]?)", match["step"])
    if not number:
        raise ConfigError(f"steps: {match['step']!r}, the step in {model!r}, is not a number")
    unit = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}[number[2].lower()]
    return run or "", float(number[1].replace("_", "")) * unit


def make_curves(boards: Sequence[Board], pattern: str) -> list[Point]:
    """Return the checkpoints among the models of each table, by run and step; [] without any."""
    compiled = compile_steps(pattern)
    points = [
        Point(board.category, *found, row)
        for board in boards
        for row in board.rows
        if not row.is_baseline and (found := run_and_step(compiled, row.model))
    ]
    place = {board.category: number for number, board in enumerate(boards)}
    return sorted(points, key=lambda point: (place[point.category], point.run, point.step))
