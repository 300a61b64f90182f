"""What must make a reader doubt a table, said in notes above and below it."""

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np

from arena.ranking.options import Options
from arena.ranking.votes import ABSENT, Verdicts, Votes

FEW = 0.9  # share of the table's questions; verdicts that are missing here and there cost less
SILENT = 0.1  # share of games without a verdict that is worth a line; judge_health shows fewer
MIRRORED = -0.2  # correlation of a question's two verdicts; chance alone and any place bias give 0
SURELY = -4.0  # standard errors of a correlation: by chance in 1 of 30,000 tables
CANCELLED = 2 / 3  # share of questions; gpt-4o, whose place bias is strong, has a third
ENOUGH = 50  # questions for that share


def doubts(verdicts: Verdicts, rule: str) -> Iterator[str]:
    """Say what is odd about the judges, one note a finding."""
    yield from _uneven_judges(verdicts)
    for judge, codes in zip(verdicts.judges, verdicts.codes, strict=True):
        yield from _silent(judge, codes, verdicts.models, rule)
        yield from _cancelled(judge, codes, verdicts.models)


def _uneven_judges(verdicts: Verdicts) -> Iterator[str]:
    """Say which of several judges judged much less than all together: models' judges differ."""
    judged = np.asarray((verdicts.codes >= 0).any(axis=3))  # [J, M, Q]
    together = int(judged.any(axis=0).sum())
    for judge, mine in zip(verdicts.judges, judged, strict=True):
        if mine.sum() >= FEW * together:
            continue
        none = list(compress(verdicts.models, ~np.asarray(mine.any(axis=1))))
        models = f" and none of {', '.join(none)}" if none else ""
        yield (
            f"judge {judge} judged {mine.sum():,} of the {together:,} answers that the judges "
            f"judged{models}: there the other judges' votes alone count, and scores of models "
            "with different judges do not compare"
        )


def _silent(judge: str, codes: np.ndarray, models: Sequence[str], rule: str) -> Iterator[str]:
    silent = ((codes != ABSENT) & (codes < 0)).sum(axis=(1, 2))
    played, most = (codes != ABSENT).sum(), silent.argmax()
    if silent.sum() > SILENT * played:
        yield (
            f"judge {judge}: {silent.sum():,} of {played:,} games have no verdict that rule {rule} "
            f"counts, most of them ({silent[most]:,}) of {models[most]}; judge_health shows how "
            "they ended"
        )


def _cancelled(judge: str, codes: np.ndarray, models: Sequence[str]) -> Iterator[str]:
    """Say where the two games of a question contradict each other more than chance would."""
    strength = np.sign(2.0 - codes)  # for A: 1 wins, 0 ties, -1 loses
    strength[..., 0] *= -1  # for the model, which is B in games[0]
    both = np.asarray((codes >= 0).all(axis=-1))
    which, cause = "", _cause(strength[both])
    if not cause:  # some files may be
        causes = [_cause(each[some]) for each, some in zip(strength, both, strict=True)]
        cause = next(filter(None, causes), None)
        which = f" of {', '.join(compress(models, causes))}"
        both[[each is None for each in causes]] = False
    if cause:
        share = (strength[both].prod(axis=-1) < 0).mean()
        yield (
            f"judge {judge}: in {share:.0%} of the questions{which} one game is won and the other "
            f"lost, so that these votes cancel out: {cause}"
        )


def _cause(pairs: np.ndarray) -> str | None:
    """What is wrong with the verdicts of both games [N, 2], seen from the model; None: nothing.

    A judge that goes by the place alone gives two verdicts that have nothing to do with each other,
    and every bit of judgment makes them alike. So a negative correlation over the questions has one
    cause: the labels of one game were written as if the answers stood as in the other one. Where
    all verdicts are alike there is no correlation, and a judge that always says B looks the same.
    """
    if len(pairs) < 3:
        return None
    mirrored = "the labels of one game must be mirrored (A and B exchanged)"
    if pairs.std(axis=0).all():
        correlation = np.corrcoef(pairs.T)[0, 1]
        if correlation < MIRRORED and correlation * len(pairs) ** 0.5 < SURELY:
            return f"{mirrored}; the scores mean nothing until the judgments are repaired"
    if len(pairs) >= ENOUGH and (pairs.prod(axis=-1) < 0).mean() > CANCELLED:
        return f"{mirrored}, or the judge goes by an answer's place alone; see judge_health"
    return None


def silent_models(models: Sequence[str], codes: np.ndarray, judged: np.ndarray) -> Iterator[str]:
    """Name the models that were asked, by their codes [J, M, Q, 2], and have no row, and why."""
    asked = (codes != ABSENT).any(axis=(0, 2, 3)) & ~judged
    spoke = (codes >= 0).any(axis=(0, 2, 3))
    if mute := list(compress(models, asked & ~spoke)):
        yield f"no game with a verdict, so no row: {', '.join(mute)}"
    if half := list(compress(models, asked & spoke)):
        yield (
            "never a verdict in both games of a question, which rule v2.0 wants, so no row: "
            f"{', '.join(half)}; --rule v0.1 counts single games"
        )


def unknown_style(
    models: Sequence[str], votes: Votes, known: np.ndarray, is_plain: np.ndarray
) -> Iterator[str]:
    """Say what style control leaves out: `known` [M, Q] marks answers whose style is known."""
    lost = (votes.votes > 0) & ~known
    if lost.any():
        whole = ", ".join(compress(models, is_plain))
        none = f"; of {whole} the plain score is shown, marked *" if whole else ""
        yield (
            f"style control leaves out {lost.sum():,} judged answers: their style, or that of the "
            f"baseline's answer, is not known{none}"
        )


def thin_ground(
    models: Sequence[str], votes: Votes, baseline: str | None, options: Options
) -> Iterator[str]:
    """Say which scores rest on less than the others."""
    questions = (votes.votes > 0).sum(axis=1).tolist()
    every = int((votes.votes > 0).any(axis=0).sum())
    counts = zip(models, questions, strict=True)
    if few := [f"{model} ({some})" for model, some in counts if 0 < some < FEW * every]:
        yield f"scored on fewer questions than the {every} of this table: {', '.join(few)}; " + (
            "compare them by differences, which are taken on the same questions"
            if options.paired
            else "differences are between these scores, so not on the same questions"
        )
    if baseline is None:
        yield "each category has a baseline of its own: 50 means as good as these"
