"""The leaderboard: one table a category and one overall, from verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from arena.ranking import compare, intervals
from arena.ranking.doubts import FEW
from arena.ranking.options import Options
from arena.ranking.style import StyleFit, fit_style, style_columns
from arena.ranking.votes import ABSENT, OVERALL, Verdicts, Votes, count_votes
from arena.support.names import in_order

UNNAMED_BASELINE = "(baseline)"  # of judgments that do not say whom they were played against


@dataclass(frozen=True, slots=True)
class Row:
    """A model's score with its interval, in percent, and what it rests on.

    The baseline's row is 50.0 by definition and rests on no game. best_rank, worst_rank: the ranks
    that the data allow; None without a score. won, tied: of the games; the rest were lost.
    plain_score: without style control, of all votes.
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
    verdicts: Verdicts,
    options: Options,
    style_counts: Mapping[str, np.ndarray] | None = None,
) -> list[Board]:
    """Return a table a category, then the overall one.

    Overall pools the questions of all categories: each question counts the same wherever it stands,
    so a category counts by its size. `style_counts`: model (and baseline) -> counts [Q, 4], needed
    for style control.
    """
    alike = verdicts.category if options.pool == "games" else None
    votes = count_votes(verdicts.codes, options.rule, options.weight, alike)
    weights = intervals.question_weights(verdicts.questions, options.rounds, options.seed)
    columns = None
    if options.control_features:
        columns = _style_columns(verdicts, style_counts or {}, options.rule)
    boards = []
    for number, category in enumerate((*verdicts.categories, OVERALL)):
        if category == OVERALL and len(boards) == 1:
            boards.append(replace(boards[0], category=OVERALL))
            break
        chosen = np.arange(len(verdicts.questions))
        if category != OVERALL:
            chosen = chosen[verdicts.category == number]
        boards.append(
            _board(
                category,
                _baseline(verdicts.baselines, category),
                verdicts.models,
                (verdicts.codes[:, :, chosen] != ABSENT).any(axis=(0, 2, 3)),
                votes.of(chosen),
                weights[:, chosen],
                None if columns is None else columns[:, chosen],
                options,
            )
        )
    return boards


def _baseline(baselines: Mapping[str, str | None], category: str) -> str | None:
    """The category's baseline; overall the one of all categories, None where they differ."""
    names = set(baselines.values()) if category == OVERALL else {baselines[category]}
    return (names.pop() or UNNAMED_BASELINE) if len(names) == 1 else None


def _style_columns(verdicts: Verdicts, counts: Mapping[str, np.ndarray], rule: str) -> np.ndarray:
    """Style columns [M, Q, 4], each question against the baseline of its category."""
    unknown = np.full((len(verdicts.questions), 4), np.nan)
    against = unknown.copy()
    for number, category in enumerate(verdicts.categories):
        rows = verdicts.category == number
        against[rows] = counts.get(verdicts.baselines[category] or "", unknown)[rows]
    ours = (counts.get(model, unknown) for model in verdicts.models)
    return np.array([style_columns(one, against, rule) for one in ours])


def _board(
    category: str,
    baseline: str | None,
    models: Sequence[str],
    asked: np.ndarray,
    votes: Votes,
    weights: np.ndarray,
    columns: np.ndarray | None,
    options: Options,
) -> Board:
    judged = votes.votes.sum(axis=1) > 0
    notes = []
    if silent := [models[i] for i in np.flatnonzero(asked & ~judged)]:
        notes.append(f"no game with a verdict, so no row: {', '.join(silent)}")
    models = [model for model, some in zip(models, judged, strict=True) if some]
    votes = votes.rows(judged)
    plain = 100 * votes.wins.sum(axis=1) / votes.votes.sum(axis=1)
    if columns is not None:
        columns = columns[judged]
        known = ~np.isnan(columns).any(axis=-1)
        notes += _unknown_style(models, votes, known)
        votes = votes.where(known)
    notes += _notes(models, votes, baseline, options)
    scores, resamples, fit = _scores(models, votes, plain, weights, columns, options)
    games = [votes.games, votes.games_won, votes.games_tied]
    counts = np.array([(votes.votes > 0).sum(axis=1), *(part.sum(axis=1) for part in games)])
    questions = int((votes.votes > 0).any(axis=0).sum())
    if baseline is not None:  # as good as itself on every question, and it rests on no game
        models = [*models, baseline]
        votes = votes.with_baseline()
        scores, plain = np.append(scores, 50.0), np.append(plain, 50.0)
        resamples = np.pad(resamples, ((0, 0), (0, 1)), constant_values=50.0)
        counts = np.pad(counts, ((0, 0), (0, 1)))
    # Best first, unknown scores last, equals by name: the same order every time.
    order = sorted(
        range(len(models)),
        key=lambda i: (-np.nan_to_num(scores[i], nan=-1), in_order(models[i])),
    )
    at_baseline = None if baseline is None else order.index(len(models) - 1)
    models = [models[i] for i in order]
    scores, plain, resamples, counts = (
        part[..., order] for part in (scores, plain, resamples, counts)
    )
    votes = votes.rows(order)
    lower, upper = _intervals(scores, resamples, counts[0], at_baseline, options)
    if options.paired:
        differences = compare.paired_differences(votes, weights, options.level, at_baseline)
    else:
        differences = compare.resampled_differences(
            scores, resamples, votes, options.level, at_baseline, options.ci
        )
    known = np.isfinite(scores)
    best, worst = compare.rank_ranges(differences, known)
    rows = [
        Row(
            model=model,
            score=float(scores[i]),
            lower=float(lower[i]),
            upper=float(upper[i]),
            **dict(zip(("questions", "games", "won", "tied"), counts[:, i].tolist(), strict=True)),
            best_rank=int(best[i]) if known[i] else None,
            worst_rank=int(worst[i]) if known[i] else None,
            plain_score=float(plain[i]),
            is_baseline=i == at_baseline,
        )
        for i, model in enumerate(models)
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


def _unknown_style(models: Sequence[str], votes: Votes, known: np.ndarray) -> Iterator[str]:
    """Say what style control leaves out: `known` [M, Q] marks answers whose style is known."""
    lost = (votes.votes > 0) & ~known
    if lost.any():
        whole = [
            models[i] for i in np.flatnonzero(lost.sum(axis=1) == (votes.votes > 0).sum(axis=1))
        ]
        none = f"; so no score for {', '.join(whole)}" if whole else ""
        yield (
            f"style control leaves out {lost.sum():,} judged answers: their style, or that of the "
            f"baseline's answer, is not known{none}"
        )


def _notes(
    models: Sequence[str], votes: Votes, baseline: str | None, options: Options
) -> Iterator[str]:
    """What a reader of the table must know of it."""
    questions = (votes.votes > 0).sum(axis=1)
    every = int((votes.votes > 0).any(axis=0).sum())
    if few := [
        f"{model} ({some})"
        for model, some in zip(models, questions, strict=True)
        if 0 < some < FEW * every
    ]:
        yield f"scored on fewer questions than the {every} of this table: {', '.join(few)}; " + (
            "compare them by differences, which are taken on the same questions"
            if options.paired
            else "differences are between these scores, so not on the same questions"
        )
    if baseline is None:
        yield "each category has a baseline of its own: 50 means as good as these"


def _scores(
    models: Sequence[str],
    votes: Votes,
    plain: np.ndarray,
    weights: np.ndarray,
    columns: np.ndarray | None,
    options: Options,
) -> tuple[np.ndarray, np.ndarray, StyleFit | None]:
    """Scores [M], their resamples [rounds, M], and the fit under style control."""
    if columns is not None:
        fit = fit_style(
            votes,
            columns,
            options.control_features,
            intervals.resampler(votes, weights, options.ci, options.seed),
            options.rounds,
            options.level,
            weights if options.ci == "questions" else None,
        )
        return fit.scores, fit.resamples, fit
    if options.ci == "upstream":
        rounds, seed, rule = options.rounds, options.seed, options.rule
        return plain, intervals.upstream_scores(votes, models, rounds, seed, rule), None
    return plain, intervals.resampled_scores(votes, weights), None


def _intervals(
    scores: np.ndarray,
    resamples: np.ndarray,
    questions: np.ndarray,
    baseline: int | None,
    options: Options,
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the scores; the baseline's are its 50."""
    lower, upper = intervals.bounds(resamples, options.level, options.ci, questions)
    if options.ci == "questions":
        lower, upper = intervals.widen_certain(scores, lower, upper, questions, options.level)
    if baseline is not None:
        lower[baseline] = upper[baseline] = 50.0
    return lower, upper
