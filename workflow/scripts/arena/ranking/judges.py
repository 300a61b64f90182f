"""Several judges side by side: a column each, pooled and mean scores, and what they add to the
uncertainty.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from arena.ranking.agreement import Agreement, Disputed, agreements, disputed
from arena.ranking.doubts import FEW
from arena.ranking.formats import csv_text, rounded
from arena.ranking.health_formats import agreement_text, plain, text_table
from arena.ranking.intervals import question_weights
from arena.ranking.leaderboard import Board, make_boards
from arena.ranking.options import Options
from arena.ranking.votes import Verdicts
from arena.support.errors import DataError

SHOWN = 10  # disputed questions in the text


@dataclass(frozen=True, slots=True)
class Scores:
    """A model's scores in percent. mean: of the judges that judged it; pooled: the leaderboard's.

    by_judge: judge -> score, lower and upper bound, as on the leaderboard of this judge alone.
    """

    category: str
    model: str
    pooled: float
    mean: float
    by_judge: dict[str, tuple[float, float, float] | None]


@dataclass(frozen=True, slots=True)
class JudgesShare:
    """Percent of the variance of mean scores that comes from the choice of judges; the rest comes
    from the choice of questions. None: there are too few judges or models.

    of_differences: the same for differences between models, on which it is without effect that one
    judge is kinder to all.
    """

    category: str
    of_scores: float | None
    of_differences: float | None


@dataclass(frozen=True, slots=True)
class Judges:
    """Everything about several judges."""

    judges: tuple[str, ...]
    scores: list[Scores]
    shares: list[JudgesShare]
    agreement: list[Agreement]
    disputed: list[Disputed]

    def text(self) -> str:
        parts = []
        shown = self.shares[:1] if len(self.shares) == 2 else self.shares  # overall is the same
        for share in shown:
            rows = [row for row in self.scores if row.category == share.category]
            cells = [
                [
                    row.model,
                    f"{row.pooled:.1f}",
                    f"{row.mean:.1f}",
                    *map(_cell, row.by_judge.values()),
                ]
                for row in rows
            ]
            table = text_table([["Model", "Pooled", "Mean", *self.judges], *cells])
            parts += [f"##### Judges: {share.category} #####", table, share_text(share)]
        parts += ["Agreement between judges", agreement_text(self.agreement)]
        if self.disputed:
            header = ["Question", "Category", "Apart", *self.judges]
            lines = [
                [one.uid, one.category, f"{one.apart:.2f}"]
                + ["-" if mean is None else f"{mean:+.2f}" for mean in one.means.values()]
                for one in self.disputed[:SHOWN]
            ]
            parts.append("Questions on which the judges differ most (verdicts from -2 to 2)")
            parts.append(text_table([header, *lines], left=2))
        return "\n\n".join(parts) + "\n"

    def files(self) -> dict[str, str]:
        """File name -> its text: judges.csv has a column a judge, judges.json everything."""
        columns = ["category", "model", "pooled", "mean"]
        columns += [f"{judge}{end}" for judge in self.judges for end in ("", " lower", " upper")]
        rows = [
            rounded(
                {"category": row.category, "model": row.model}
                | {"pooled": row.pooled, "mean": row.mean}
                | {
                    f"{judge}{end}": value
                    for judge, values in row.by_judge.items()
                    for end, value in zip(("", " lower", " upper"), values or (), strict=False)
                }
            )
            for row in self.scores
        ]
        everything = json.dumps(plain(asdict(self)), indent=2, ensure_ascii=False) + "\n"
        return {"judges.csv": csv_text(columns, rows), "judges.json": everything}


def compare_judges(
    verdicts: Verdicts,
    options: Options,
    boards: Sequence[Board],
    style_counts: Mapping[str, np.ndarray] | None = None,
) -> Judges | None:
    """Compare the judges of `verdicts`; None where there is one. `boards`: of all together."""
    if len(verdicts.judges) < 2:
        return None
    alone = [
        make_boards(replace(verdicts, judges=(judge,), codes=codes[None]), options, style_counts)
        for judge, codes in zip(verdicts.judges, verdicts.codes, strict=True)
    ]
    weights = question_weights(verdicts.questions, options.rounds, options.seed)
    scores, shares = [], []
    for board, *own in zip(boards, *alone, strict=True):
        scores += _scores(board, own, verdicts.judges)
        shares.append(_share(board, own))
    return Judges(
        judges=verdicts.judges,
        scores=scores,
        shares=shares,
        agreement=agreements(verdicts, weights, options.weight),
        disputed=disputed(verdicts),
    )


def check_poolable(verdicts: Verdicts) -> None:
    """Raise DataError where the judges were asked with different system prompts."""
    for category, by_judge in verdicts.prompts.items():
        if len({frozenset(prompts) for prompts in by_judge.values()}) > 1:
            starts = {
                judge: ", ".join(" ".join(prompt.split())[:60] or "(none)" for prompt in prompts)
                for judge, prompts in by_judge.items()
            }
            lines = [f"\n{judge}: {start}" for judge, start in starts.items()]
            raise DataError(
                f"category {category}: the judges had different system prompts, so their votes "
                f"cannot be pooled; show them one by one, with -j JUDGE:{''.join(lines)}"
            )


def uneven_prompts(verdicts: Verdicts) -> Iterator[str]:
    """Say which judge was asked with several system prompts in a category."""
    for category, by_judge in verdicts.prompts.items():
        for judge, prompts in by_judge.items():
            if len(prompts) > 1:
                *rest, _ = sorted(prompts.values(), key=len, reverse=True)[::-1]
                models = ", ".join(dict.fromkeys(model for some in rest for model in some))
                yield (
                    f"judge {judge} had {len(prompts)} different system prompts in the category "
                    f"{category}; another one than most: {models}"
                )


def share_text(share: JudgesShare) -> str:
    if share.of_scores is None:
        return "The judges' share of the uncertainty: not known, the judges have no model in common"
    return (
        f"The judges' share of the uncertainty (variance) of a mean score: {share.of_scores:.0f} %"
        + (
            f", of a difference between two models: {share.of_differences:.0f} %"
            if share.of_differences is not None
            else ""
        )
    )


def _scores(board: Board, own: Sequence[Board], judges: Sequence[str]) -> Iterator[Scores]:
    rows = [{row.model: row for row in each.rows} for each in own]
    for row in board.rows:
        if row.is_baseline:
            continue
        found = [by_model.get(row.model) for by_model in rows]
        known = [one.score for one in found if one and np.isfinite(one.score)]
        yield Scores(
            board.category,
            row.model,
            row.score,
            float(np.mean(known)) if known else float("nan"),
            {
                judge: (one.score, one.lower, one.upper) if one else None
                for judge, one in zip(judges, found, strict=True)
            },
        )


def _share(board: Board, own: Sequence[Board]) -> JudgesShare:
    """Variance of a mean over judges = that of questions + that between judges / judges.

    What judges differ by on these questions is partly noise of the questions. Resamples have that
    noise twice, so twice the variance at hand less the mean variance of resamples is free of it.
    """
    places = [
        {row.model: i for i, row in enumerate(each.rows) if np.isfinite(row.score)} for each in own
    ]
    models = [
        row.model
        for row in board.rows
        if row.questions >= FEW * board.questions and all(row.model in each for each in places)
    ]
    if not models:
        return JudgesShare(board.category, None, None)
    columns = [[place[model] for model in models] for place in places]
    scores = np.array(
        [[each.rows[i].score for i in cols] for each, cols in zip(own, columns, strict=True)]
    )
    drawn = np.array([each.resamples[:, cols] for each, cols in zip(own, columns, strict=True)])
    drawn = drawn[:, np.isfinite(drawn).all(axis=(0, 2))]  # [J, rounds, M]
    shares = [_judges_variance(scores, drawn)]
    if len(models) > 1:
        apart = scores - scores.mean(axis=1, keepdims=True)
        shares.append(_judges_variance(apart, drawn - drawn.mean(axis=2, keepdims=True)))
    return JudgesShare(board.category, shares[0], shares[1] if len(models) > 1 else None)


def _judges_variance(scores: np.ndarray, drawn: np.ndarray) -> float | None:
    """Percent of the variance of means over judges that is due to them; scores [J, M]."""
    between = 2 * scores.var(axis=0, ddof=1) - drawn.var(axis=0, ddof=1).mean(axis=0)
    of_judges = max(float(between.mean()), 0) / len(scores)
    of_questions = float(drawn.mean(axis=0).var(axis=0, ddof=1).mean())
    total = of_judges + of_questions
    return 100 * of_judges / total if total > 0 else None


def _cell(values: tuple[float, float, float] | None) -> str:
    if values is None or not np.isfinite(values[0]):
        return "-"
    score, lower, upper = values
    return f"{score:.1f} ({lower:.1f}, {upper:.1f})"
