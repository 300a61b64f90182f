"""The leaderboard: one table per category and one overall, and curves of checkpoints."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import itemgetter

import numpy as np

from arena.data.verdict import compile_pattern
from arena.ranking import compare, intervals
from arena.ranking.notes import fewer_questions, unknown_style, unscored_models
from arena.ranking.style import StyleFit, fit_style, style_columns
from arena.ranking.votes import OVERALL, Array, Options, Verdicts, Votes, count_votes
from arena.support.errors import ConfigError
from arena.support.names import in_order

FINAL = re.compile(r"(.+)[-_.](final|last)", re.IGNORECASE)  # a run's last checkpoint
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
    questions: int = 0
    games: int = 0
    won: int = 0
    tied: int = 0
    best_rank: int | None = None
    worst_rank: int | None = None
    plain_score: float = 50.0
    is_baseline: bool = False
    is_plain: bool = False
    lost: int = 0
    avg_tokens: float | None = None
    design_effect: float | None = None


def title(model: str, is_baseline: bool) -> str:
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


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint of a training run: its row, drawn against its step."""

    category: str
    run: str
    step: float
    row: Row


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


def run_and_step(pattern: re.Pattern, model: str) -> tuple[str, float] | None:
    """Return a checkpoint's run and step, or None for any other model. Steps: 1000, 1.5e3, 20k, 2M.

    The run is "" where the pattern has no group `run` or the group is empty; the step of a run's
    final checkpoint is infinite.
    """
    match = pattern.search(model)
    if not match or match["step"] is None:
        final = FINAL.fullmatch(model)
        return (final[1], math.inf) if final else None
    run = match.groupdict().get("run") or ""
    if match["step"].lower() in ("final", "last"):
        return run, math.inf
    number = re.fullmatch(r"(\d[\d_]*\.?\d*(?:e\d\d?)?)([kKmMbB]?)", match["step"])
    if not number:
        raise ConfigError(f"steps: {match['step']!r}, the step in {model!r}, is not a number")
    unit = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}[number[2].lower()]
    return run, float(number[1].replace("_", "")) * unit


def make_curves(boards: Sequence[Board], pattern: str) -> list[Point]:
    """Return the checkpoints of each table, by run and step.

    `<run>-final` is drawn after the run's last step, at the distance of the last two steps.
    """
    compiled = compile_pattern(pattern, "steps")
    if "step" not in compiled.groupindex:
        raise ConfigError(f"steps: {pattern!r} has no group (?P<step>...)")
    curves = []
    for board in boards:
        points = []
        steps = defaultdict[str, set[float]](set)
        models = (row for row in board.rows if not row.is_baseline)
        found = ((*at, row) for row in models if (at := run_and_step(compiled, row.model)))
        for run, step, row in sorted(found, key=itemgetter(1)):  # final checkpoints last
            if step < math.inf:
                steps[run].add(step)
            elif run in steps:
                *_, before, last = [0.0, *sorted(steps[run])]
                step = 2 * last - before
            else:
                continue
            points.append(Point(board.category, run, step, row))
        curves += sorted(points, key=lambda point: (in_order(point.run), point.step))
    return curves


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
    scored = every.where(is_plain[:, None] | (votes.votes > 0))  # votes behind each score
    lower, upper, design = _intervals(scores, resamples, scored, strata, options)
    parts = (scored.votes > 0, scored.games, scored.games_won, scored.games_tied)
    used, games, won, tied = (part.sum(axis=1).astype(int) for part in parts)
    tokens = {model: _mean(each[chosen, 0]) for model, each in counts.items()}
    rows = [
        Row(
            model=model,
            score=float(scores[i]),
            lower=float(lower[i]),
            upper=float(upper[i]),
            questions=int(used[i]),
            games=int(games[i]),
            won=int(won[i]),
            tied=int(tied[i]),
            lost=int(games[i] - won[i] - tied[i]),
            plain_score=float(plain[i]),
            is_plain=bool(is_plain[i]),
            avg_tokens=tokens.get(model),
            design_effect=float(design[i]) if np.isfinite(design[i]) else None,
        )
        for i, model in enumerate(models)
    ]
    if baseline is not None:
        rows.append(
            Row(baseline, 50.0, 50.0, 50.0, is_baseline=True, avg_tokens=tokens.get(baseline))
        )
        votes = votes.with_baseline()
        resamples = np.pad(resamples, ((0, 0), (0, 1)), constant_values=50.0)
    # Best first, ties by name.
    order = sorted(range(len(rows)), key=lambda i: (-rows[i].score, in_order(rows[i].model)))
    rows, votes, resamples = [rows[i] for i in order], votes[order], resamples[:, order]
    at_baseline = next((i for i, row in enumerate(rows) if row.is_baseline), None)
    rows_of_pairs = (
        compare.paired_rows(votes, weights, strata)
        if options.paired
        else compare.score_rows(np.array([row.score for row in rows]), resamples)
    )
    differences = compare.compare(rows_of_pairs, votes, options, at_baseline, strata)
    is_ranked = np.array([not row.is_plain for row in rows], dtype=bool)
    best, worst = (ranks.tolist() for ranks in compare.rank_ranges(differences, is_ranked))
    for i in (ranked := np.flatnonzero(is_ranked).tolist()):
        rows[i] = replace(rows[i], best_rank=best[i], worst_rank=worst[i])
    similar = compare.similar_groups(differences, ranked)
    groups = [[rows[i].model for i in group] for group in similar]
    notes += fit.notes if fit else []
    return Board(category, baseline, questions, rows, differences, groups, fit, notes, resamples)


def _mean(tokens: Array) -> float | None:
    return float(np.nanmean(tokens)) if np.isfinite(tokens).any() else None


def _intervals(
    scores: Array, resamples: Array, votes: Votes, strata: intervals.Strata, options: Options
) -> tuple[Array, Array, Array]:
    """Lower and upper bounds of the models' scores, and design effects; [M] each."""
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
        lower, upper = intervals.unanchored_bounds(resamples, options.level)
    return lower, upper, design


def _vote_variance(votes: Votes, strata: intervals.Strata) -> Array:
    """Variance of a single vote (in percent, squared) around its category's mean, [M]."""
    squares = np.zeros(len(votes.votes))
    for part in (votes[:, rows] for rows in strata):
        won, tied, cast = (each.sum(axis=1) for each in (part.wins, part.ties, part.votes))
        squares += won - tied / 4 - won**2 / np.maximum(cast, 1e-9)  # a tie is 0.5, squared 0.25
    return 1e4 * np.maximum(squares, 0) / np.maximum(votes.votes.sum(axis=1), 1e-9)
