"""Compare a leaderboard with another ranking of the same models, such as human votes.

Measures of Li et al. (arXiv 2406.11939, section 3) over all pairs of models that both rank; see
docs/judges.md. A ranking without intervals separates every pair whose scores differ.
"""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arena.ranking.judge_health import FEWEST, measure, rank_correlations
from arena.ranking.leaderboard import Board
from arena.support.errors import DataError
from arena.support.files import read_text

# Column -> its names, in lower case, also those of Arena-Hard-Auto and Chatbot Arena.
COLUMNS = {
    "model": ("model", "name"),
    "score": ("score", "rating", "elo"),
    "lower": ("lower", "rating_q025"),
    "upper": ("upper", "rating_q975"),
}


@dataclass(frozen=True, slots=True)
class Ranking:
    """Another ranking, read from the file `name`."""

    name: str
    scores: Mapping[str, tuple[float, float, float]]  # model -> score, lower, upper
    has_intervals: bool  # else lower and upper are the score


def read_ranking(path: Path) -> Ranking:
    """Read a CSV file with the columns model and score, and optionally lower and upper."""
    reader = csv.DictReader(io.StringIO(read_text(path)), restval="")
    heads = {(head or "").strip().lower(): head for head in reader.fieldnames or ()}
    found = {
        key: heads[name]
        for key, names in COLUMNS.items()
        for name in reversed(names)
        if name in heads
    }
    for key in ("model", "score"):
        if key not in found:
            raise DataError(f"{path}:1: no column {key!r}; the columns are: {', '.join(heads)}")
    has_intervals = "lower" in found and "upper" in found
    keys = [found[key] for key in (("score", "lower", "upper") if has_intervals else ["score"] * 3)]
    scores = {}
    for row in reader:
        try:
            score, lower, upper = (float(row[key]) for key in keys)
        except ValueError:
            score = lower = upper = math.nan
        if math.isnan(score):
            names = ", ".join(dict.fromkeys(keys))
            raise DataError(f"{path}:{reader.line_num}: not a number in {names}")
        scores[row[found["model"]].strip()] = score, lower, upper
    return Ranking(path.name, scores, has_intervals)


def compare_rankings(board: Board, other: Ranking) -> dict[str, Any]:
    """Compare a board with another ranking; DataError if they share fewer than three models.

    Shares and means are from 0 to 1, None without such pairs, without intervals of the other
    ranking, or if no round drew votes of all models. `unknown`: models that are not in it;
    `unmatched`: its models that the board lacks.
    """
    folded = {name.casefold(): scores for name, scores in other.scores.items()}
    ours_folded = {row.model.casefold() for row in board.rows}
    at = [i for i, row in enumerate(board.rows) if row.model.casefold() in folded]
    rows = [board.rows[i] for i in at]
    if len(rows) < FEWEST:
        raise DataError(
            f"{other.name}: has only {len(rows)} of the models of category {board.category}, but "
            f"{FEWEST} are needed; its models are {', '.join(sorted(other.scores)[:5])}, ..."
        )
    ours = np.array([(row.score, row.lower, row.upper) for row in rows])
    theirs = np.array([folded[row.model.casefold()] for row in rows])
    drawn = board.resamples[:, at]
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    one, two = np.triu_indices(len(rows), 1)
    # 0 where the intervals of a pair overlap, else 1 or -1.
    separated = [
        (each[one, 1] > each[two, 2]).astype(int) - (each[two, 1] > each[one, 2])
        for each in (ours, theirs)
    ]
    agree = separated[0] * separated[1]  # 1, -1, or 0 where either does not separate the pair
    better = np.sign(theirs[one, 0] - theirs[two, 0])
    wins = (drawn[:, one] > drawn[:, two]) + (drawn[:, one] == drawn[:, two]) / 2
    errors = ((wins.mean(axis=0) - (better > 0)) ** 2)[better != 0] if len(drawn) else better[:0]
    values = rank_correlations(ours[:, 0], theirs[:, 0])
    resampled = [rank_correlations(each, theirs[:, 0]) for each in drawn]
    spearman, kendall = map(measure, values, np.reshape(resampled, (-1, 2)).T)
    return {
        "category": board.category,
        "other": other.name,
        "models": len(rows),
        "pairs": len(one),
        "separability": float((separated[0] != 0).mean()),
        "other_separability": float((separated[1] != 0).mean()) if other.has_intervals else None,
        "agreement": float(agree.mean()),
        "agreement_where_separated": float(agree[agree != 0].mean()) if agree.any() else None,
        "brier": float(errors.mean()) if errors.size else None,
        "spearman": asdict(spearman),
        "kendall": asdict(kendall),
        "unknown": [row.model for row in board.rows if row.model.casefold() not in folded],
        "unmatched": [name for name in other.scores if name.casefold() not in ours_folded],
    }
