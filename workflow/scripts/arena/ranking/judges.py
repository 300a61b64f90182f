"""Several judges side by side: scores by judge, agreement, and their share of the uncertainty."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from arena.ranking.intervals import question_weights
from arena.ranking.judge_health import agreements, disputed
from arena.ranking.leaderboard import Board, make_boards
from arena.ranking.notes import FEW
from arena.ranking.votes import Array, Options, Verdicts
from arena.support.errors import DataError

KEYS = {"value": "score", "lower": "lower", "upper": "upper"}  # key of the document -> of Row


def compare_judges(
    verdicts: Verdicts,
    options: Options,
    boards: Sequence[Board],
    style_counts: Mapping[str, Array] | None = None,
) -> dict[str, Any] | None:
    """Compare the judges of `verdicts`; None if there is only one.

    boards: of all judges together. scores: a row per model and category, in percent; pooled: score
    of the leaderboard; mean: of the judges' own scores; by_judge: value, lower and upper bound on
    the leaderboard of this judge alone. shares: see `_share`.
    """
    if len(verdicts.judges) < 2:
        return None
    alone = [
        make_boards(replace(verdicts, judges=(judge,), codes=codes[None]), options, style_counts)
        for judge, codes in zip(verdicts.judges, verdicts.codes, strict=True)
    ]
    weights = question_weights(verdicts.questions, options.rounds, options.seed)
    tables = [(board, own) for board, *own in zip(boards, *alone, strict=True)]
    return {
        "judges": verdicts.judges,
        "scores": [row for table in tables for row in _scores(*table, verdicts.judges)],
        "shares": [_share(*table) for table in tables],
        "agreement": agreements(verdicts, weights, options.weight),
        "disputed": disputed(verdicts),
    }


def check_poolable(verdicts: Verdicts) -> None:
    """Raise DataError if the judges had different system prompts."""
    for category, by_judge in verdicts.prompts.items():
        if len({frozenset(prompts) for prompts in by_judge.values()}) > 1:
            lines = [
                f"category {category}: the judges had different system prompts, so their votes "
                "cannot be pooled; run the command for each judge with -j JUDGE:"
            ]
            for judge, prompts in by_judge.items():
                starts = (" ".join(prompt.split())[:60] or "(none)" for prompt in prompts)
                lines.append(f"{judge}: {', '.join(starts)}")
            raise DataError("\n".join(lines))


def uneven_prompts(verdicts: Verdicts) -> Iterator[str]:
    for category, by_judge in verdicts.prompts.items():
        for judge, prompts in by_judge.items():
            if len(prompts) > 1:
                *rest, _ = sorted(prompts.values(), key=len)
                models = ", ".join(dict.fromkeys(model for some in rest for model in some))
                yield (
                    f"judge {judge} had {len(prompts)} different system prompts in the category "
                    f"{category}; models not judged with the most frequent one: {models}"
                )


def _scores(board: Board, own: Sequence[Board], judges: Sequence[str]) -> Iterator[dict[str, Any]]:
    rows = [{row.model: row for row in each.rows} for each in own]
    for row in board.rows:
        if row.is_baseline:
            continue
        found = [by_model.get(row.model) for by_model in rows]
        yield {
            "category": board.category,
            "model": row.model,
            "pooled": row.score,
            "mean": float(np.mean([one.score for one in found if one])),
            "by_judge": {
                judge: {key: one and getattr(one, name) for key, name in KEYS.items()}
                for judge, one in zip(judges, found, strict=True)
            },
        }


def _share(board: Board, own: Sequence[Board]) -> dict[str, Any]:
    """Percent of the variance of mean scores that is due to the choice of judges, not questions.

    of_differences: the same for differences between models, where a judge that gives all models
    higher scores has no effect. None: too few models with scores of all judges, or resamples.

    The variance of a mean is: variance of questions + variance between judges / number of judges.
    The observed variance between judges contains noise of the questions once, that of resamples
    twice. So twice the observed one minus the mean of the resampled ones is without it.
    """
    places = [{row.model: i for i, row in enumerate(each.rows)} for each in own]
    models = [
        row.model
        for row in board.rows
        if row.questions >= FEW * board.questions and all(row.model in each for each in places)
    ]
    columns = [[place[model] for model in models] for place in places]
    pairs = list(zip(own, columns, strict=True))
    scores = np.array([[each.rows[i].score for i in some] for each, some in pairs])
    drawn = np.array([each.resamples[:, some] for each, some in pairs])
    drawn = drawn[:, np.isfinite(drawn).all(axis=(0, 2))]  # [J, rounds, M]
    shares: dict[str, Any] = {"category": board.category, "of_scores": None, "of_differences": None}
    if not models or drawn.shape[1] < 2:
        return shares
    shares["of_scores"] = _judges_variance(scores, drawn)
    if len(models) > 1:
        apart = scores - scores.mean(axis=1, keepdims=True)
        drawn = drawn - drawn.mean(axis=2, keepdims=True)
        shares["of_differences"] = _judges_variance(apart, drawn)
    return shares


def _judges_variance(scores: Array, drawn: Array) -> float | None:
    """Percent of the variance of means over judges that is due to the judges; scores [J, M]."""
    between = 2 * scores.var(axis=0, ddof=1) - drawn.var(axis=0, ddof=1).mean(axis=0)
    of_judges = max(float(between.mean()), 0) / len(scores)
    of_questions = float(drawn.mean(axis=0).var(axis=0, ddof=1).mean())
    total = of_judges + of_questions
    return 100 * of_judges / total if total > 0 else None
