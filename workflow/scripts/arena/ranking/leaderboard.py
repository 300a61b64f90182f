"""The leaderboard: one table a category and one overall, from verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import numpy as np

from arena.ranking import compare, intervals
from arena.ranking.doubts import silent_models, thin_ground, unknown_style
from arena.ranking.options import Options
from arena.ranking.style import StyleFit, fit_style, style_columns
from arena.ranking.votes import OVERALL, Verdicts, Votes, count_votes
from arena.support.names import in_order

UNNAMED_BASELINE = "(baseline)"  # of judgments that do not say whom they were played against


@dataclass(frozen=True, slots=True)
class Row:
    """A model's score with its interval, in percent, and what it rests on.

    The baseline's row is 50.0 by definition and rests on no game. best_rank, worst_rank: the ranks
    that the data allow; None without a score that can be compared. plain_score: without style
    control, of all votes. is_plain: `score` is that one although style was to be controlled.
    design_effect: the score's variance in terms of that of as many independent votes.
    avg_tokens: of the model's answers. Both None where they are not known.
    """

    model: str
    score: float
    lower: float
    upper: float
    questions: int
    games: int
    won: int
    tied: int
    best_rank: int | None
    worst_rank: int | None
    plain_score: float
    is_baseline: bool
    is_plain: bool = False
    lost: int = 0
    avg_tokens: float | None = None
    design_effect: float | None = None

    @property
    def title(self) -> str:
        """The name as tables show it."""
        return self.model + " (baseline)" * (self.is_baseline and self.model[:1] != "(")


@dataclass(frozen=True, slots=True)
class Board:
    """One table, best model first; rows and columns of `differences` are in the same order, and so
    are the columns of the scores' `resamples` [rounds, M].
    """

    category: str
    baseline: str | None
    questions: int
    rows: list[Row]
    differences: compare.Differences
    groups: list[list[str]]  # neighbours that cannot be told apart
    style: StyleFit | None = None
    notes: list[str] = field(default_factory=list)
    resamples: np.ndarray = field(default_factory=lambda: np.empty((0, 0)), repr=False)


def make_boards(
    verdicts: Verdicts, options: Options, counts: Mapping[str, np.ndarray] | None = None
) -> list[Board]:
    """Return a table a category, then the overall one.

    Overall pools the questions of all categories: each question counts the same wherever it stands,
    so a category counts by its size. `counts`: model (and baseline) -> counts of its answers
    [Q, 4], needed for style control and for their average tokens.
    """
    alike = verdicts.category if options.pool == "games" else None
    votes = count_votes(verdicts.codes, options.rule, options.weight, alike)
    weights = intervals.question_weights(verdicts.questions, options.rounds, options.seed)
    counts = counts or {}
    style = _style_columns(verdicts, counts, options.rule) if options.control_features else None
    tables = [(name, verdicts.category == i) for i, name in enumerate(verdicts.categories)]
    if len(tables) > 1:
        tables.append((OVERALL, np.ones(len(verdicts.questions), dtype=bool)))
    given = votes, weights, style, counts
    boards = [_board(verdicts, options, category, chosen, *given) for category, chosen in tables]
    return boards if len(boards) > 1 else [*boards, replace(boards[0], category=OVERALL)]


def shown(boards: Sequence[Board]) -> list[Board]:
    """With one category, its table says all that the overall one would."""
    return [board for board in boards if board.category != OVERALL or len(boards) > 2]


def _baseline(baselines: Mapping[str, str | None], category: str) -> str | None:
    """The category's baseline; overall the one of all categories, None where they differ."""
    names = set(baselines.values()) if category == OVERALL else {baselines[category]}
    return (names.pop() or UNNAMED_BASELINE) if len(names) == 1 else None


def _style_columns(verdicts: Verdicts, counts: Mapping[str, np.ndarray], rule: str) -> np.ndarray:
    """Style columns [M, Q, 4], each question against the baseline of its category."""
    unknown = np.full((len(verdicts.questions), 4), np.nan)
    against = verdicts.of_baselines(counts, unknown)
    ours = (counts.get(model, unknown) for model in verdicts.models)
    return np.array([style_columns(one, against, rule) for one in ours])


def _board(
    verdicts: Verdicts,
    options: Options,
    category: str,
    chosen: np.ndarray,
    votes: Votes,
    weights: np.ndarray,
    style: np.ndarray | None,
    counts: Mapping[str, np.ndarray],
) -> Board:
    """The table of the `chosen` questions: arrays of all models and questions are given."""
    baseline = _baseline(verdicts.baselines, category)
    strata, weights = intervals.strata_of(verdicts.category[chosen]), weights[:, chosen]
    judged = votes.votes[:, chosen].sum(axis=1) > 0
    notes = list(silent_models(verdicts.models, verdicts.codes[:, :, chosen], judged))
    models = list(compress(verdicts.models, judged))
    every = votes = votes[:, chosen][judged]
    scores = plain = 100 * votes.wins.sum(axis=1) / votes.votes.sum(axis=1)
    fit, is_plain = None, np.zeros(len(models), dtype=bool)
    if options.ci == "questions":
        resamples = intervals.resampled_scores(votes, weights, strata)
    else:
        drawn = options.rounds, options.seed, options.rule
        resamples = intervals.upstream_scores(votes, models, *drawn)
    if style is not None:
        columns = style[judged][:, chosen]
        known = ~np.isnan(columns).any(axis=-1)
        votes = every.where(known)
        is_plain = votes.votes.sum(axis=1) == 0
        notes += unknown_style(models, every, known, is_plain)
        fit = fit_style(votes, columns, intervals.stratified(weights, strata), options)
        scores = np.where(is_plain, plain, fit.scores)
        resamples = np.where(is_plain, resamples, fit.resamples)
    notes += thin_ground(models, votes, baseline, options)
    questions = int((votes.votes > 0).any(axis=0).sum())
    shown = every.where(is_plain[:, None] | (votes.votes > 0))  # what each score rests on
    if baseline is not None:  # as good as itself on every question, and it rests on no game
        models = [*models, baseline]
        votes, shown = votes.with_baseline(), shown.with_baseline()
        scores, plain = np.append(scores, 50.0), np.append(plain, 50.0)
        is_plain = np.append(is_plain, False)
        resamples = np.pad(resamples, ((0, 0), (0, 1)), constant_values=50.0)
    # Best first, unknown scores last, equals by name: the same order every time.
    best_first = np.nan_to_num(-scores, nan=1).tolist()
    order = sorted(range(len(models)), key=lambda i: (best_first[i], in_order(models[i])))
    at_baseline = None if baseline is None else order.index(len(models) - 1)
    models = [models[i] for i in order]
    scores, plain, is_plain, resamples = (
        values[..., order] for values in (scores, plain, is_plain, resamples)
    )
    votes, shown = votes[order], shown[order]
    lower, upper, design = _intervals(scores, resamples, shown, strata, at_baseline, options)
    rows_of_pairs = (
        compare.paired_rows(votes, weights, strata)
        if options.paired
        else compare.score_rows(scores, resamples)
    )
    differences = compare.compare(rows_of_pairs, votes, options, at_baseline, strata)
    known = np.isfinite(scores) & ~is_plain
    best, worst = compare.rank_ranges(differences, known)
    own = np.arange(len(models)) == at_baseline
    parts = (shown.votes > 0, shown.games, shown.games_won, shown.games_tied)
    used, games, won, tied = np.where(own, 0, [part.sum(axis=1) for part in parts]).astype(int)
    arrays = {
        **{"score": scores, "lower": lower, "upper": upper, "questions": used, "games": games},
        **{"won": won, "tied": tied, "lost": games - won - tied, "plain_score": plain},
        **{"is_plain": is_plain, "is_baseline": own},
        "best_rank": np.where(known, best, np.array(None)),
        "worst_rank": np.where(known, worst, np.array(None)),
        "design_effect": np.where(np.isfinite(design), design, np.array(None)),
    }
    tokens = (_mean(counts[model][chosen, 0]) if model in counts else None for model in models)
    columns_of = zip(*(values.tolist() for values in arrays.values()), strict=True)
    rows = [
        Row(model=model, avg_tokens=mean, **dict(zip(arrays, row, strict=True)))
        for model, mean, row in zip(models, tokens, columns_of, strict=True)
    ]
    groups = compare.alike(differences, np.flatnonzero(known).tolist())
    return Board(
        category=category,
        baseline=baseline,
        questions=questions,
        rows=rows,
        differences=differences,
        groups=[[models[i] for i in group] for group in groups],
        resamples=resamples,
        style=fit,
        notes=[*notes, *(fit.notes if fit else [])],
    )


def _mean(tokens: np.ndarray) -> float | None:
    """Of a model's answers to these questions; None where there are none."""
    return float(np.nanmean(tokens)) if np.isfinite(tokens).any() else None


def _intervals(
    scores: np.ndarray,
    resamples: np.ndarray,
    votes: Votes,
    strata: intervals.Strata,
    baseline: int | None,
    options: Options,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds of the scores, the baseline's being its 50, and design effects; [M] each."""
    questions = (votes.votes > 0).sum(axis=1)
    cast, games = votes.votes.sum(axis=1), votes.games.sum(axis=1)
    free = questions - sum((votes.votes[:, rows] > 0).any(axis=1) for rows in strata)
    errors = intervals.standard_errors(resamples, questions, free)
    spread = _vote_variance(votes, strata)
    with np.errstate(invalid="ignore", divide="ignore"):
        design = np.where(spread > 1e-9, errors**2 * cast / spread, np.nan)
    if options.ci == "questions":
        least = np.sqrt(spread / np.maximum(games, 1))
        lower, upper = intervals.score_bounds(scores, errors, least, questions, free, options.level)
    elif options.ci == "upstream":
        lower, upper = intervals.percentiles(resamples, options.level)
    else:
        models = np.arange(len(scores)) != baseline
        lower, upper = np.full((2, len(scores)), 50.0)
        bounds = intervals.unanchored_bounds(resamples[:, models], options.level)
        lower[models], upper[models] = bounds
    if baseline is not None:
        lower[baseline] = upper[baseline] = 50.0
        design[baseline] = np.nan
    return lower, upper, design


def _vote_variance(votes: Votes, strata: intervals.Strata) -> np.ndarray:
    """Variance of a single vote (in percent, squared) about its category's mean, [M]."""
    squares = np.zeros(len(votes.votes))
    for part in (votes[:, rows] for rows in strata):
        won, tied, cast = (each.sum(axis=1) for each in (part.wins, part.ties, part.votes))
        squares += won - tied / 4 - won**2 / np.maximum(cast, 1e-9)  # a tie is 0.5, squared 0.25
    return 1e4 * np.maximum(squares, 0) / np.maximum(votes.votes.sum(axis=1), 1e-9)
