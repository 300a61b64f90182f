"""The judge's health: position bias, flips, games without a verdict, length bias, empty answers.

All shares are in percent. Position bias and flips use only questions where both games have a
verdict: each answer was once A and once B there, so an unbiased judge picks A in half of the games.

Also the agreement of judges on single games and on the order of models, and disputed questions.
Intervals resample questions. Resampling adds noise, which lowers rank correlations, so their
intervals are too low; they are extended to contain the value.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from arena.data.verdict import VERDICTS
from arena.ranking.intervals import (
    Strata,
    percentiles,
    resampled_scores,
    score_bounds,
    standard_errors,
    strata_of,
)
from arena.ranking.votes import ABSENT, CODE_OF_STATE, Array, Verdicts, Votes, count_votes

STRENGTH = np.array([2, 1, 0, -1, -2])  # of VERDICTS, for A
LEVEL = 0.90
FEWEST = 3  # models for a rank correlation: that of two is always 1 or -1
DISPUTED = 20  # number of questions listed
RATIOS = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0)  # edges of bins of the length ratio model / baseline


@dataclass(frozen=True, slots=True)
class Measure:
    """A value with its interval over questions; None where it is not defined."""

    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Share(Measure):
    """A share in percent of `of` cases with its interval over questions; None without cases."""

    of: int


def share(hits: Array, cases: Array, weights: Array) -> Share:
    """Share of `hits` among `cases`, both [..., Q] counts, with its interval over questions."""
    hits, cases = (
        np.asarray(part, dtype=float).reshape(-1, part.shape[-1]).sum(axis=0)
        for part in (hits, cases)
    )
    total = cases.sum()
    if not total:
        return Share(None, None, None, 0)
    with np.errstate(invalid="ignore"):
        resamples = 100 * (weights @ hits) / (weights @ cases)
    value, questions = np.array([100 * hits.sum() / total]), np.array([(cases > 0).sum()])
    errors = standard_errors(resamples[:, None], questions, questions - 1)
    least = np.sqrt(value * (100 - value) / total)
    bounds = score_bounds(value, errors, least, questions, questions - 1, LEVEL)
    lower, upper = (float(bound[0]) for bound in bounds)
    return Share(float(value[0]), lower, upper, int(total))


def judge_health(verdicts: Verdicts, judge: int, weights: Array) -> dict[str, Any]:
    """Return the health of a judge; `weights` [rounds, Q] are the resamples for intervals.

    a_wins: of the decided verdicts, those for A (50 without position bias); also of strong and weak
    verdicts alone. flips: questions whose two verdicts name different winners; flips_to_a: of
    these, those with A twice. half_flips: one verdict is a tie, the other is not. states: number of
    games by state. labels: verdicts by label in games[0] and games[1]. models: the same by model.
    """
    codes = verdicts.codes[judge]
    played = codes != ABSENT
    states = {state: int((codes == code).sum()) for state, code in CODE_OF_STATE.items()}
    states["ok"] = int((codes >= 0).sum())
    first, second = np.moveaxis(for_the_model(codes), -1, 0)
    both = np.isfinite(first) & np.isfinite(second)
    for_a = np.stack([-first, second])  # of both games of a question
    decided, strong = both & (np.abs(for_a) > 0), both & (np.abs(for_a) == 2)
    weak, to_a = decided & ~strong, for_a > 0
    flips = both & (first * second < 0)
    return {
        "judge": verdicts.judges[judge],
        "games": int(played.sum()),
        "states": {state: count for state, count in states.items() if count},
        "labels": {
            label: (codes == code).sum(axis=(0, 1)).tolist() for code, label in enumerate(VERDICTS)
        },
        "a_wins": share(decided & to_a, decided, weights),
        "a_wins_strong": share(strong & to_a, strong, weights),
        "a_wins_weak": share(weak & to_a, weak, weights),
        "flips": share(flips, both, weights),
        "flips_to_a": share(flips & (second > 0), flips, weights),
        "half_flips": share(both & ((first == 0) != (second == 0)), both, weights),
        "strong": share(strong, np.stack([both, both]), weights),
        "models": [
            {
                "model": model,
                "games": int(played[i].sum()),
                "no_verdict": int((played[i] & (codes[i] < 0)).sum()),
                "truncated": int((codes[i] == CODE_OF_STATE["truncated"]).sum()),
                "a_wins": _percent((decided & to_a)[:, i].sum(), decided[:, i].sum()),
                "flips": _percent(flips[i].sum(), both[i].sum()),
            }
            for i, model in enumerate(verdicts.models)
            if played[i].any()
        ],
    }


def _percent(hits: int, cases: int) -> float | None:
    return 100 * float(hits) / float(cases) if cases else None


def answer_health(
    verdicts: Verdicts,
    votes: Votes,
    weights: Array,
    lengths_of: Mapping[str, Array],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Relate verdicts of all judges, and votes, to the lengths [Q] of answers by model.

    longer_wins: of decided verdicts, those for the longer answer. bins: mean vote for answers that
    are `low` to `high` times as long as the baseline's. empty_score: mean vote for empty answers;
    empty_wins: of the verdicts on empty answers, those for them.
    """
    lengths = np.array([lengths_of[model] for model in verdicts.models])
    baseline = verdicts.of_baselines(lengths_of, np.full(lengths.shape[1], np.nan))
    if np.isnan(baseline).all():
        notes = [*notes, "no answers of the baseline, so the length bias cannot be computed"]
    strengths = np.moveaxis(for_the_model(verdicts.codes), -1, 0)  # [2, J, M, Q]
    longer = np.sign(lengths - baseline)
    decided = (np.abs(strengths) > 0) & (np.abs(longer) > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.maximum(lengths, 1) / np.maximum(baseline, 1)

    def score(here: Array) -> Share:
        here = here & (votes.votes > 0)
        return share(np.where(here, votes.wins, 0), np.where(here, votes.votes, 0), weights)

    bins = [
        {"low": low, "high": high, "score": score((ratio >= low) & (ratio < high))}
        for low, high in pairwise((0.0, *RATIOS, np.inf))
    ]
    empty = lengths == 0
    on_empty = np.isfinite(strengths) & empty
    judged = (verdicts.codes != ABSENT).any(axis=(0, 3))
    counts = (empty & judged).sum(axis=1).tolist()
    models = {model: count for model, count in zip(verdicts.models, counts, strict=True) if count}
    return {
        "longer_wins": share(decided & (strengths * longer > 0), decided, weights),
        "bins": bins,
        "empty_answers": sum(counts),
        "empty_models": models,
        "empty_score": score(empty),
        "empty_wins": share(on_empty & (strengths > 0), on_empty, weights),
        "notes": notes,
    }


def bin_text(low: float, high: float | None) -> str:
    """`0.5 to 0.8`: a bin of length ratios."""
    if high is None:
        return f"{low:g} and more"
    return f"{low:g} to {high:g}" if low else f"under {high:g}"


def agreements(verdicts: Verdicts, weights: Array, weight: float = 3) -> list[dict[str, Any]]:
    """Return the agreement of every pair of judges with common games.

    same_label, same_winner: percent of games. kappa: Cohen's, on win, tie and loss (1 perfect, 0
    chance). spearman, kendall: of the models' scores on these games (Kendall's tau-b), for three
    models or more. weights: [rounds, Q], of resamples; weight: votes of a strong verdict.
    """
    strata = strata_of(verdicts.category)
    found = []
    for one, two in combinations(range(len(verdicts.judges)), 2):
        codes = verdicts.codes[[one, two]]
        both = np.asarray((codes >= 0).all(axis=0))
        games = int(both.sum())
        if not games:
            continue
        codes = np.where(both, codes, ABSENT)
        table = _confusion(codes, both)
        all_games = table.sum(axis=0)
        spearman, kendall = _order(codes, weights, strata, weight)
        found.append(
            {
                "judge": verdicts.judges[one],
                "other": verdicts.judges[two],
                "games": games,
                "same_label": 100 * float((both & (codes[0] == codes[1])).sum() / games),
                "same_winner": 100 * float(np.trace(all_games) / games),
                "kappa": measure(_kappa(all_games), _kappa(np.tensordot(weights, table, 1))),
                "spearman": spearman,
                "kendall": kendall,
            }
        )
    return found


def disputed(verdicts: Verdicts) -> list[dict[str, Any]]:
    """Return the questions on which the judges differ most, the worst first.

    apart: difference between two judges' verdicts, in steps of the five labels (0-4), as a mean
    over pairs of judges and models. means: each judge's mean verdict, from -2 to 2.
    """
    strengths = for_the_model(verdicts.codes).mean(axis=-1)  # [J, M, Q], NaN unless both are known
    pairs = [np.abs(one - two) for one, two in combinations(strengths, 2)]
    apart = _mean(np.array(pairs).reshape(-1, strengths.shape[-1])).tolist()
    means = np.array([_mean(judge) for judge in strengths]).T.tolist()  # [Q, J]
    order = [q for q, value in enumerate(apart) if value > 0]
    order.sort(key=lambda q: (-apart[q], verdicts.questions[q]))
    return [
        {
            "uid": verdicts.questions[q],
            "category": verdicts.categories[verdicts.category[q]],
            "apart": apart[q],
            "means": dict(zip(verdicts.judges, means[q], strict=True)),
        }
        for q in order[:DISPUTED]
    ]


@np.errstate(invalid="ignore")
def rank_correlations(one: Array, two: Array) -> tuple[float, float]:
    """Spearman's rho (ties share their mean rank) and Kendall's tau-b; NaN where all are tied."""
    signs = [np.sign(scores[:, None] - scores) for scores in (one, two)]
    ranks = [sign.sum(axis=1) for sign in signs]  # twice the rank, around 0
    spearman, kendall = (
        float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())) for x, y in (ranks, signs)
    )
    return spearman, kendall


def measure(value: Array | float, resamples: Array) -> Measure:
    """A value with the percentile interval of its resamples [rounds], without undefined ones."""
    at, known = float(value), resamples[np.isfinite(resamples)]
    if not np.isfinite(at) or not known.size:
        return Measure(None, None, None)
    lower, upper = percentiles(known[:, None], LEVEL)
    return Measure(at, min(float(lower[0]), at), max(float(upper[0]), at))


def for_the_model(codes: Array) -> Array:
    """Strengths of verdicts [..., 2], from -2 to 2, positive for the model; NaN without verdict."""
    strengths = np.where(codes >= 0, STRENGTH[np.maximum(codes, 0)], np.nan)
    strengths[..., 0] *= -1
    return strengths


def _confusion(codes: Array, both: Array) -> Array:
    """Number of games by question and by the two judges' winners, [Q, 3, 3]."""
    winners = np.sign(STRENGTH[np.maximum(codes, 0)])
    one, two = (winner[..., None] == [1, 0, -1] for winner in winners)  # [M, Q, 2, 3]
    return np.einsum("mqgi,mqgj,mqg->qij", *(part.astype(int) for part in (one, two, both)))


def _kappa(table: Array) -> Array:
    """Cohen's kappa of tables [..., 3, 3]; NaN where chance alone would agree on everything."""
    total = table.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.trace(table, axis1=-2, axis2=-1) / total
        chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / total**2
        return (observed - chance) / (1 - chance)


def _order(codes: Array, weights: Array, strata: Strata, weight: float) -> Iterator[Measure]:
    """Spearman and Kendall of the models' scores by two judges, codes [2, M, Q, 2]."""
    votes = [count_votes(each[None], "v0.1", weight) for each in codes]
    models = votes[0].votes.sum(axis=1) > 0
    if models.sum() < FEWEST:
        return iter([Measure(None, None, None)] * 2)
    weights = np.vstack([np.ones_like(weights[:1]), weights])  # the first row: not resampled
    scores = [resampled_scores(each[models], weights, strata) for each in votes]
    value, *drawn = (rank_correlations(*pair) for pair in zip(*scores, strict=True))
    return map(measure, value, np.reshape(drawn, (-1, 2)).T)


def _mean(values: Array) -> Array:
    """Mean of known values along the first axis; NaN where there are none."""
    return np.ma.masked_invalid(values).mean(axis=0).filled(np.nan)
