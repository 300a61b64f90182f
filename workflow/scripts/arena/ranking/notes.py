"""Notes above and below a table: problems of the verdicts and scores that cover fewer questions."""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np

from arena.ranking.judge_health import for_the_model
from arena.ranking.votes import ABSENT, Array, Options, Verdicts, Votes

FEW = 0.9  # share of the table's questions; occasional missing verdicts leave more
MISSING = 0.1  # share of games without a verdict; judge_health also shows smaller shares
MIRRORED = -0.2  # correlation of a question's two verdicts; position bias alone gives 0
SIGNIFICANT = -4.0  # standard errors of a correlation: by chance in 1 of 30,000 tables
CANCELLED = 2 / 3  # share of questions; gpt-4o, with its strong position bias, has a third
ENOUGH = 50  # questions, to compute that share


def verdict_notes(verdicts: Verdicts, rule: str) -> Iterator[str]:
    """Notes on problems of the judges' verdicts."""
    yield from _uneven_judges(verdicts)
    for judge, codes in zip(verdicts.judges, verdicts.codes, strict=True):
        missing = ((codes != ABSENT) & (codes < 0)).sum(axis=(1, 2))
        played, total, most = (codes != ABSENT).sum(), missing.sum(), missing.argmax()
        if total > MISSING * played:
            yield (
                f"judge {judge}: {total:,} of {played:,} games have no verdict that rule {rule} "
                f"counts, most of them ({missing[most]:,}) of {verdicts.models[most]}; "
                "judge_health shows why"
            )
        yield from _cancelled(judge, codes, verdicts.models)


def _uneven_judges(verdicts: Verdicts) -> Iterator[str]:
    """Notes on judges that judged far fewer answers than all judges together."""
    judged = np.asarray((verdicts.codes >= 0).any(axis=3))  # [J, M, Q]
    together = int(judged.any(axis=0).sum())
    for judge, mine in zip(verdicts.judges, judged, strict=True):
        if mine.sum() >= FEW * together:
            continue
        none = list(compress(verdicts.models, ~np.asarray(mine.any(axis=1))))
        models = f", and none of {', '.join(none)}" if none else ""
        yield (
            f"judge {judge} judged only {mine.sum():,} of the {together:,} judged answers{models}: "
            "the others have only other judges' votes, and scores of models with different judges "
            "are not comparable"
        )


def _cancelled(judge: str, codes: Array, models: Sequence[str]) -> Iterator[str]:
    """Note where the two verdicts of a question contradict each other more often than by chance."""
    winner = np.sign(for_the_model(codes))
    both = np.asarray((codes >= 0).all(axis=-1))
    which, cause = "", _cause(winner[both])
    if not cause:  # of all models together, but maybe of some
        causes = [_cause(each[some]) for each, some in zip(winner, both, strict=True)]
        cause = next(filter(None, causes), None)
        which = f" of {', '.join(compress(models, causes))}"
        both[[each is None for each in causes]] = False
    if cause:
        share = (winner[both].prod(axis=-1) < 0).mean()
        yield (
            f"judge {judge}: in {share:.0%} of the questions{which} one game is won and the other "
            f"lost, so these votes cancel out: {cause}"
        )


def _cause(pairs: Array) -> str | None:
    """Why verdicts of both games [N, 2] (1: model wins, -1: loses) contradict each other, or None.

    If a judge decides by position alone, its two verdicts are uncorrelated; any real judgment
    correlates them positively. So a negative correlation means that the labels of one game were
    written with A and B exchanged. Identical verdicts have no correlation, and a judge that always
    says B looks the same.
    """
    if len(pairs) < 3:
        return None
    mirrored = "the labels of one game must be mirrored (A and B exchanged)"
    if pairs.std(axis=0).all():
        correlation = np.corrcoef(pairs.T)[0, 1]
        if correlation < MIRRORED and correlation * len(pairs) ** 0.5 < SIGNIFICANT:
            return f"{mirrored}; the scores are meaningless until the judgments are repaired"
    if len(pairs) >= ENOUGH and (pairs.prod(axis=-1) < 0).mean() > CANCELLED:
        return f"{mirrored}, or the judge decides by position alone; see judge_health"
    return None


def unscored_models(models: Sequence[str], codes: Array, judged: Array) -> Iterator[str]:
    """Notes on models that were judged, by their codes [J, M, Q, 2], but have no score."""
    unscored = (codes != ABSENT).any(axis=(0, 2, 3)) & ~judged
    has_verdict = (codes >= 0).any(axis=(0, 2, 3))
    if none := list(compress(models, unscored & ~has_verdict)):
        yield f"no game with a verdict, so no row: {', '.join(none)}"
    if half := list(compress(models, unscored & has_verdict)):
        yield (
            "no question with a verdict in both games, which rule v2.0 requires, so no row: "
            f"{', '.join(half)}; --rule v0.1 counts single games"
        )


def unknown_style(
    models: Sequence[str], votes: Votes, known: Array, is_plain: Array
) -> Iterator[str]:
    """Note on answers that style control leaves out; `known` [M, Q]: the style is known."""
    lost = (votes.votes > 0) & ~known
    if lost.any():
        whole = ", ".join(compress(models, is_plain))
        plain = f"; scores without style control, marked *: {whole}" if whole else ""
        yield (
            f"style control leaves out {lost.sum():,} judged answers, because their style or that "
            f"of the baseline's answer is not known{plain}"
        )


def fewer_questions(
    models: Sequence[str], votes: Votes, baseline: str | None, options: Options
) -> Iterator[str]:
    """Notes on scores that are not comparable with all others of the table."""
    questions = (votes.votes > 0).sum(axis=1).tolist()
    every = int((votes.votes > 0).any(axis=0).sum())
    counts = zip(models, questions, strict=True)
    if few := [f"{model} ({some})" for model, some in counts if 0 < some < FEW * every]:
        yield f"scored on fewer questions than the {every} of this table: {', '.join(few)}; " + (
            "compare them by their differences, which are on the same questions"
            if options.paired
            else "differences are between these scores, so not on the same questions"
        )
    if baseline is None:
        yield "the categories have different baselines: 50 means as good as the category's baseline"
