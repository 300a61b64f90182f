"""Judgments and answers as files, verdicts and votes as arrays: what leaderboards are tested on."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from arena.ranking.intervals import question_weights
from arena.ranking.show_result import Result, Sources, make_result
from arena.ranking.votes import CODE_OF_STATE, CODE_OF_VERDICT, Verdicts, Votes

from tests.synthetic import write_lines

WON, LOST, WON_STRONGLY = ("B>A", "A>B"), ("A>B", "B>A"), ("B>>A", "A>>B")


def line(uid: str, *labels: str | None, **keys: Any) -> dict[str, Any]:
    """A line of a judgment file; None: a failed call."""
    games = [label and {"score": label, "judgment": {"answer": label}} for label in labels]
    return {"uid": uid, "games": games, **keys}


def lines(*pairs: Sequence[str | None], **keys: Any) -> list[dict[str, Any]]:
    """Lines of the questions 0, 1, 2, ..., a pair of labels each."""
    return [line(str(number), *pair, **keys) for number, pair in enumerate(pairs)]


def judgments(folder: Path, bench: str = "bench", **files: Sequence[Mapping[str, Any]]) -> Path:
    """Judgment files, lines by the name `judge__model`."""
    for name, lines in files.items():
        judge, model = name.split("__")
        write_lines(folder / bench / "model_judgment" / judge / f"{model}.jsonl", lines)
    return folder


def answer(uid: str, text: str = "x", **keys: Any) -> dict[str, Any]:
    return {"uid": uid, "messages": [{"role": "assistant", "content": {"answer": text}}], **keys}


def sources_of(folder: Path, judges: Sequence[str] = ("j",), **keys: Any) -> Sources:
    return Sources.find(**{"bench": "bench", "judges": judges, "data_dir": folder, **keys})


def result_of(
    folder: Path,
    judges: Sequence[str] = ("j",),
    bench: str = "bench",
    models: Sequence[str] = (),
    **options: Any,
) -> Result:
    return make_result(sources_of(folder, judges, bench=bench, models=models), **options)


def rows_of(folder: Path, name: str = "leaderboard.csv") -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def verdicts_of(codes: np.ndarray, **keys: Any) -> Verdicts:
    """Verdicts of codes [J, M, Q, 2] on one category."""
    judges, models, size, _ = codes.shape
    known = {
        "judges": tuple(f"j{number}" for number in range(judges)),
        "models": tuple(f"m{number}" for number in range(models)),
        "questions": tuple(f"q{number}" for number in range(size)),
        "categories": ("c",),
        "category": np.zeros(size, dtype=int),
        "baselines": {"c": "base"},
    }
    return Verdicts(**known | keys, codes=codes.astype(np.int8))


def table(**judges: Mapping[str, Sequence[tuple[str, str]]]) -> Verdicts:
    """Verdicts from judge -> model -> list of (label in games[0], label in games[1])."""
    models = list(next(iter(judges.values())))
    known = CODE_OF_VERDICT | CODE_OF_STATE
    codes = [
        [[[known[one] for one in pair] for pair in by_model[model]] for model in models]
        for by_model in judges.values()
    ]
    return verdicts_of(np.array(codes), judges=tuple(judges), models=tuple(models))


def weights_of(verdicts: Verdicts, rounds: int = 200) -> np.ndarray:
    return question_weights(verdicts.questions, rounds, seed=1)


def votes_of(wins: Any, votes: Any = None, ties: Any = 0.0) -> Votes:
    """Votes [M, Q] or of one model; without a number of votes one each, NaN: not judged."""
    wins = np.atleast_2d(np.asarray(wins, dtype=float))
    cast = np.asarray(~np.isnan(wins) if votes is None else np.atleast_2d(votes), dtype=float)
    ties = ties + np.zeros_like(wins)
    return Votes(np.nan_to_num(wins), ties, cast, cast, np.nan_to_num(wins), ties)
