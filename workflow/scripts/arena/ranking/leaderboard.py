"""The leaderboard: one table per category and one overall, from verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import numpy as np

from arena.ranking import compare, intervals
from arena.ranking.notes import fewer_questions, unknown_style, unscored_models
from arena.ranking.options import Options
from arena.ranking.style import StyleFit, fit_style, style_columns
from arena.ranking.votes import OVERALL, Array, Verdicts, Votes, count_votes
from arena.support.names import in_order

UNNAMED_BASELINE = "(baseline)"  # in tables of judgments that do not name their baseline


@dataclass(frozen=True, slots=True)
class Row:
    """A model's score with its interval, in percent, and the questions and games behind it.

    The baseline's row is 50.0 by definition, without games. best_rank, worst_rank: the ranks that
    are consistent with the data; None without a comparable score. plain_score: without style
    control. is_plain: `score` is the plain one, because the style is not known. design_effect:
    the score's variance / that of as many independent votes.
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


def title(model: str, is_baseline: bool) -> str:
    """The name that tables show for a model."""
    return model + " (baseline)" * (is_baseline and model != UNNAMED_BASELINE)


@dataclass(frozen=True, slots=True)
class Board:
    """One table, best model first; `differences` and `resamples` have the same order."""

    category: str
    baseline: str | None
    questions: int
    rows: list[Row]
    differences: compare.Differences
    groups: list[list[str]]  # neighbours that are not significantly different
    style: StyleFit | None = None
    notes: list[str] = field(default_factory=list)
    resamples: Array = field(default_factory=lambda: np.empty((0, 0)))  # [rounds, M] of scores


def make_boards(
    verdicts: Verdicts, options: Options, counts: Mapping[str, Array] | None = None
) -> list[Board]:
    """Return one table per category, then the overall one.

    The overall table pools the questions of all categories, and each question counts the same.
    `counts`: model or baseline -> style counts of its answers [Q, 4], for style control and average
    tokens.
    """
    pool_by = verdicts.category if options.pool == "games" else None
    votes = count_votes(verdicts.codes, options.rule, options.weight, pool_by)
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
    """The tables to show: with one category, the overall one is a copy."""
    return [board for board in boards if board.category != OVERALL or len(boards) > 2]


def _baseline(baselines: Mapping[str, str | None], category: str) -> str | None:
    """The category's baseline; overall the one of all categories, None where they differ."""
    names = set(baselines.values()) if category == OVERALL else {baselines[category]}
    return (names.pop() or UNNAMED_BASELINE) if len(names) == 1 else None


def _style_columns(verdicts: Verdicts, counts: Mapping[str, Array], rule: str) -> Array:
    """Style columns [M, Q, 4], each question against the baseline of its category."""
    unknown = np.full((len(verdicts.questions), 4), np.nan)
    against = verdicts.of_baselines(counts, unknown)
    ours = (counts.get(model, unknown) for model in verdicts.models)
    return np.array([style_columns(one, against, rule) for one in ours])


def _board(
    verdicts: Verdicts,
    options: Options,
    category: str,
    chosen: Array,
    votes: Votes,
    weights: Array,
    style: Array | None,
    counts: Mapping[str, Array],
) -> Board:
    """The table of the `chosen` questions; the arrays are of all models and questions."""
    baseline = _baseline(verdicts.baselines, category)
    strata, weights = intervals.strata_of(verdicts.category[chosen]), weights[:, chosen]
    judged = votes.votes[:, chosen].sum(axis=1) > 0
    notes = list(unscored_models(verdicts.models, verdicts.codes[:, :, chosen], judged))
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
    notes += fewer_questions(models, votes, baseline, options)
    questions = int((votes.votes > 0).any(axis=0).sum())
    shown = every.where(is_plain[:, None] | (votes.votes > 0))  # votes behind each score
    if baseline is not None:
        models = [*models, baseline]
        votes, shown = votes.with_baseline(), shown.with_baseline()
        scores, plain = np.append(scores, 50.0), np.append(plain, 50.0)
        is_plain = np.append(is_plain, False)
        resamples = np.pad(resamples, ((0, 0), (0, 1)), constant_values=50.0)
    # Best first, unknown scores last, ties by name.
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
    is_baseline = np.arange(len(models)) == at_baseline
    parts = (shown.votes > 0, shown.games, shown.games_won, shown.games_tied)
    sums = [part.sum(axis=1) for part in parts]
    used, games, won, tied = np.where(is_baseline, 0, sums).astype(int)
    arrays = {
        **{"score": scores, "lower": lower, "upper": upper, "questions": used, "games": games},
        **{"won": won, "tied": tied, "lost": games - won - tied, "plain_score": plain},
        **{"is_plain": is_plain, "is_baseline": is_baseline},
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
    similar = compare.similar_groups(differences, np.flatnonzero(known).tolist())
    groups = [[models[i] for i in group] for group in similar]
    notes += fit.notes if fit else []
    about = category, baseline, questions
    return Board(*about, rows, differences, groups, fit, notes, resamples)


def _mean(tokens: Array) -> float | None:
    return float(np.nanmean(tokens)) if np.isfinite(tokens).any() else None


def _intervals(
    scores: Array,
    resamples: Array,
    votes: Votes,
    strata: intervals.Strata,
    baseline: int | None,
    options: Options,
) -> tuple[Array, Array, Array]:
    """Lower and upper bounds of the scores, and design effects; [M] each."""
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


def _vote_variance(votes: Votes, strata: intervals.Strata) -> Array:
    """Variance of a single vote (in percent, squared) around its category's mean, [M]."""
    squares = np.zeros(len(votes.votes))
    for part in (votes[:, rows] for rows in strata):
        won, tied, cast = (each.sum(axis=1) for each in (part.wins, part.ties, part.votes))
        squares += won - tied / 4 - won**2 / np.maximum(cast, 1e-9)  # a tie is 0.5, squared 0.25
    return 1e4 * np.maximum(squares, 0) / np.maximum(votes.votes.sum(axis=1), 1e-9)
