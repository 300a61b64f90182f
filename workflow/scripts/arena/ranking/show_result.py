"""From a folder of judgments to the leaderboard's files."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from arena.data.answers import model_inside
from arena.data.verdict import DEFAULT_PATTERNS, default_rule
from arena.ranking.against import compare_rankings, read_ranking
from arena.ranking.agreement import LEVEL, agreements
from arena.ranking.answer_health import answer_health, read_lengths
from arena.ranking.curves import Point, make_curves
from arena.ranking.documents import plain
from arena.ranking.intervals import question_weights
from arena.ranking.judge_health import judge_health
from arena.ranking.judges import check_poolable, compare_judges, uneven_prompts
from arena.ranking.leaderboard import Board, make_boards, shown
from arena.ranking.notes import verdict_notes
from arena.ranking.options import Options
from arena.ranking.style import DIFFERENCES
from arena.ranking.style_counts import read_style_counts
from arena.ranking.votes import Verdicts, count_votes, read_verdicts
from arena.support.errors import DataError
from arena.support.names import did_you_mean

TOY_NOTE = (
    "The demo judge is a toy: its verdicts come from no language model, and these numbers say "
    "nothing about the models"
)


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a leaderboard: judge -> judgment files, and folders of answers.

    made_dir: folder of the answers that the workflow generated.
    """

    bench: str
    judgments: Mapping[str, Sequence[Path]]
    answers_dir: Path
    made_dir: Path | None = None

    @classmethod
    def find(
        cls,
        *,
        bench: str,
        judges: Sequence[str],
        data_dir: Path = Path("data"),
        judgments_dir: Path | None = None,
        answers_dir: Path | None = None,
        models: Collection[str] = (),
    ) -> "Sources":
        """Find the files in <data_dir>/<bench> or in the given folders.

        `models`: names or globs of judgment files; each must match a file of at least one judge.
        Raises DataError with the known names.
        """
        folder = judgments_dir or data_dir / bench / "model_judgment"
        found = {
            judge: sorted(path for path in (folder / judge).glob("*.jsonl") if path.is_file())
            for judge in judges
        }
        for judge, files in found.items():
            if not files:
                raise DataError(_no_judgments(folder, judge))
        names = {path.name.removesuffix(".jsonl") for files in found.values() for path in files}
        wanted = set() if models else names
        for entry in models:
            some = {name for name in names if name == entry or fnmatchcase(name, entry)}
            if not some:
                raise DataError(f"{folder}: no judgments of {entry!r}{did_you_mean(entry, names)}")
            wanted |= some
        judgments = {
            judge: [path for path in files if path.name.removesuffix(".jsonl") in wanted]
            for judge, files in found.items()
        }
        return cls(bench, judgments, answers_dir or data_dir / bench / "model_answer")

    def answers(self, verdicts: Verdicts) -> dict[str, Path]:
        """model -> its answer file, for all models and named baselines.

        The file has the name of the model's judgment file or of the model, or its lines have the
        name as `model`: judgment lines may have `org/name` where files are called `name`.
        """
        found = {}
        for name in sorted({*verdicts.models, *filter(None, verdicts.baselines.values())}):
            stems = (verdicts.files.get(name, name), name)
            folders = filter(None, (self.answers_dir, self.made_dir))
            paths = [folder / f"{stem}.jsonl" for folder in folders for stem in stems]
            found[name] = next(filter(Path.is_file, paths), paths[-1])
        if missing := [name for name, path in found.items() if not path.is_file()]:
            inside = {model_inside(path): path for path in sorted(self.answers_dir.glob("*.jsonl"))}
            found |= {name: inside[name] for name in missing if name in inside}
        return found


@dataclass(frozen=True, slots=True)
class Result:
    """The tables and their notes."""

    bench: str
    verdicts: Verdicts
    options: Options
    boards: list[Board]
    notes: list[str]
    curves: list[Point] | None = None  # with `steps`
    judges: dict[str, Any] | None = None  # with several judges
    against: list[dict[str, Any]] | None = None  # with another ranking


def make_result(
    sources: Sources,
    *,
    rule: str | None = None,
    categories: Collection[str] = (),
    baselines: Collection[str] = (),
    patterns: Sequence[str] = DEFAULT_PATTERNS,
    steps: str | None = None,
    against: Path | None = None,
    toy: bool = False,
    tokens: bool = False,
    notes: Sequence[str] = (),
    **options: Any,
) -> Result:
    """Read the judgments and compute all tables; `options` are the other ones of options.Options.

    rule: by default v0.1 for the bench arena-hard-v0.1, else v2.0. toy: the judge is the demo
    judge, which its judgments may also say. against: a CSV file of another ranking. tokens: read
    the answers for their average tokens, as style control always does.
    """
    rule = rule or default_rule(sources.bench)
    chosen = Options(rule=rule, **options)
    files, bench = sources.judgments, sources.bench
    verdicts = read_verdicts(files, bench, rule, patterns, categories, baselines)
    check_poolable(verdicts)
    notes = [TOY_NOTE] * (toy or verdicts.toy) + [*notes, *verdicts.notes]
    notes += [*uneven_prompts(verdicts), *verdict_notes(verdicts, rule)]
    counts = None
    if chosen.control_features or tokens:
        answers = sources.answers(verdicts)
        if chosen.control_features:
            _check_baselines(verdicts, answers)
            notes.append(f"style control by rule {rule}: {DIFFERENCES[rule]}")
        counts, more = read_style_counts(answers, verdicts.questions)
        notes += more
    boards = make_boards(verdicts, chosen, counts)
    curves = make_curves(boards, steps) if steps else None
    if curves == []:
        notes.append(f"no curves: the pattern steps {steps!r} matches no name of a judged model")
    judges = compare_judges(verdicts, chosen, boards, counts)
    other = read_ranking(against) if against else None
    compared = [compare_rankings(board, other) for board in shown(boards)] if other else None
    return Result(bench, verdicts, chosen, boards, notes, curves, judges, compared)


def make_health(
    sources: Sources,
    *,
    rule: str | None = None,
    weight: float = 3,
    seed: int = 42,
    toy: bool = False,
    notes: Sequence[str] = (),
    **reading: Any,
) -> dict[str, Any]:
    """The content of health.json; `reading`: patterns and baselines, as for `make_result`."""
    options = Options(rule=rule or default_rule(sources.bench), weight=weight, seed=seed)
    verdicts = read_verdicts(sources.judgments, sources.bench, options.rule, **reading)
    weights = question_weights(verdicts.questions, options.rounds, seed)
    answers, texts = None, sources.answers(verdicts)
    if any(path.is_file() for path in texts.values()):
        votes = count_votes(verdicts.codes, options.rule, weight)
        answers = answer_health(verdicts, votes, weights, *read_lengths(verdicts, texts))
    return plain(
        {
            "bench": sources.bench,
            "judges": judge_health(verdicts, weights),
            "agreement": agreements(verdicts, weights, weight),
            "answers": answers,
            "examples": verdicts.examples,
            "notes": [*[TOY_NOTE] * (toy or verdicts.toy), *notes, *verdicts.notes],
            "level": LEVEL,
        }
    )


def _check_baselines(verdicts: Verdicts, files: Mapping[str, Path]) -> None:
    for category, baseline in verdicts.baselines.items():
        about = "style control needs the baseline's answers"
        if baseline is None:
            raise DataError(
                f"{about}, but the judgments of {category} do not name the baseline; pass "
                "--baseline NAME"
            )
        if not files[baseline].is_file():
            missing = f"{files[baseline]} does not exist"
            raise DataError(f"{about}: {missing}; --answers-dir sets the folder of the answers")


def _no_judgments(folder: Path, judge: str) -> str:
    # rglob does not follow links to folders; a judge's name may have one slash (org/model).
    files = [*folder.glob("*/*.jsonl"), *folder.glob("*/*/*.jsonl")]
    judges = sorted({str(path.parent.relative_to(folder)) for path in files})
    if not folder.is_dir():
        return f"{folder}: no such folder; --data-dir must be the folder with <bench>/ in it"
    if not judges and any(folder.glob("*.jsonl")):
        return f"{folder}: has files, but no folder {judge}; move them into {folder / judge}/"
    hint = did_you_mean(judge, judges) or f"; known judges: {', '.join(judges) or 'none'}"
    return f"{folder / judge}: no judgments of this judge{hint}"
