"""The judge's health: position bias, flips, strong verdicts and games without a verdict.

All shares are in percent. Position bias and flips use only questions where both games have a
verdict: each answer was once A and once B there, so an unbiased judge picks A in half of the games.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from arena.data.verdict import VERDICTS
from arena.ranking.agreement import LEVEL, Measure, for_the_model
from arena.ranking.intervals import score_bounds, standard_errors
from arena.ranking.votes import ABSENT, CODE_OF_STATE, Array, Verdicts


@dataclass(frozen=True, slots=True)
class Share(Measure):
    """A share in percent of `of` cases with its interval over questions; None without cases."""

    of: int


def judge_health(verdicts: Verdicts, weights: Array) -> list[dict[str, Any]]:
    """Return the health of each judge; `weights` [rounds, Q] are the resamples for intervals.

    a_wins: of the decided verdicts, those for A (50 without position bias); also of strong and weak
    verdicts alone. flips: questions whose two verdicts name different winners; flips_to_a: of
    these, those with A twice. half_flips: one verdict is a tie, the other is not. states: number of
    games by state. labels: verdicts by label in games[0] and games[1]. models: the same by model.
    """
    return [
        _health(verdicts, name, codes, weights)
        for name, codes in zip(verdicts.judges, verdicts.codes, strict=True)
    ]


def share(hits: Array, cases: Array, weights: Array) -> Share:
    """Share of `hits` among `cases`, both [..., Q] counts, with its interval over questions."""
    hits, cases = (
        np.asarray(part, dtype=float).reshape(-1, part.shape[-1]).sum(axis=0)
        for part in (hits, cases)
    )
    total = int(cases.sum())
    if not total:
        return Share(None, None, None, 0)
    with np.errstate(invalid="ignore"):
        resamples = 100 * (weights @ hits) / (weights @ cases)
    value, questions = np.array([100 * hits.sum() / total]), np.array([(cases > 0).sum()])
    errors = standard_errors(resamples[:, None], questions, questions - 1)
    least = np.sqrt(value * (100 - value) / total)
    bounds = score_bounds(value, errors, least, questions, questions - 1, LEVEL)
    lower, upper = (float(bound[0]) for bound in bounds)
    return Share(float(value[0]), lower, upper, total)


def _health(verdicts: Verdicts, name: str, codes: Array, weights: Array) -> dict[str, Any]:
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
        "judge": name,
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
