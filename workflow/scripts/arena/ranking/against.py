"""Compare a leaderboard with another ranking of the same models, such as human votes.

Measures of Li et al. (arXiv 2406.11939, section 3) over all pairs of models that both rank; see
docs/judges.md. A ranking without intervals separates every pair whose scores differ.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arena.ranking.agreement import FEWEST, measure, rank_correlations
from arena.ranking.leaderboard import Board
from arena.ranking.votes import Array
from arena.support.errors import DataError

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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; save it as CSV in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text))
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
        except (TypeError, ValueError):
            names = ", ".join(dict.fromkeys(keys))
            raise DataError(f"{path}:{reader.line_num}: not a number in {names}") from None
        scores[row[found["model"]].strip()] = score, lower, upper
    return Ranking(path.name, scores, has_intervals)


def compare_rankings(board: Board, other: Ranking) -> dict[str, Any]:
    """Compare a board with another ranking; DataError if they share fewer than three models.

    Shares and means are from 0 to 1, None without such pairs or without intervals of the other
    ranking; `unknown`: models that are not in it; `unmatched`: its models that the board lacks.
    """
    folded = {name.casefold(): scores for name, scores in other.scores.items()}
    ours_folded = {row.model.casefold() for row in board.rows}
    scored = [i for i, row in enumerate(board.rows) if np.isfinite(row.score)]
    rows = [i for i in scored if board.rows[i].model.casefold() in folded]
    if len(rows) < FEWEST:
        raise DataError(
            f"{other.name}: has only {len(rows)} of the models of category {board.category}, but "
            f"{FEWEST} are needed; its models are {', '.join(sorted(other.scores)[:5])}, ..."
        )
    ours = np.array([(r.score, r.lower, r.upper) for r in (board.rows[i] for i in rows)])
    theirs = np.array([folded[board.rows[i].model.casefold()] for i in rows])
    drawn = board.resamples[:, rows]
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    one, two = np.triu_indices(len(rows), 1)
    separated = _separated(ours, one, two), _separated(theirs, one, two)
    agree = separated[0] * separated[1]  # 1, -1, or 0 where either does not separate the pair
    better = np.sign(theirs[one, 0] - theirs[two, 0])
    ordered = better != 0
    chance = ((drawn[:, one] > drawn[:, two]) + (drawn[:, one] == drawn[:, two]) / 2).mean(axis=0)
    values = rank_correlations(ours[:, 0], theirs[:, 0])
    resampled = np.array([rank_correlations(each, theirs[:, 0]) for each in drawn])
    spearman, kendall = map(measure, values, resampled.T)
    return {
        "category": board.category,
        "other": other.name,
        "models": len(rows),
        "pairs": len(one),
        "separability": float((separated[0] != 0).mean()),
        "other_separability": float((separated[1] != 0).mean()) if other.has_intervals else None,
        "agreement": float(agree.mean()),
        "agreement_where_separated": float(agree[agree != 0].mean()) if agree.any() else None,
        "brier": float(((chance - (better > 0)) ** 2)[ordered].mean()) if ordered.any() else None,
        "spearman": asdict(spearman),
        "kendall": asdict(kendall),
        "unknown": [board.rows[i].model for i in scored if i not in rows],
        "unmatched": [name for name in other.scores if name.casefold() not in ours_folded],
    }


def _separated(scores: Array, one: Array, two: Array) -> Array:
    """For pairs of rows (score, lower, upper): 0 where the intervals overlap, else 1 or -1."""
    above = scores[one, 1] > scores[two, 2]
    return above.astype(int) - (scores[two, 1] > scores[one, 2])
