"""From a folder of judgments to the leaderboard's files."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from arena.data.answers import Answer, left_out, model_inside, read_answers
from arena.data.metadata import complete_metadata, token_counter
from arena.data.verdict import DEFAULT_PATTERNS, default_rule
from arena.ranking.against import compare_rankings, read_ranking
from arena.ranking.intervals import question_weights
from arena.ranking.judge_health import LEVEL, agreements, answer_health, judge_health
from arena.ranking.judges import check_poolable, compare_judges, uneven_prompts
from arena.ranking.leaderboard import Board, Point, make_boards, make_curves, shown
from arena.ranking.notes import verdict_notes
from arena.ranking.style import DIFFERENCES
from arena.ranking.votes import Array, Options, Verdicts, count_votes, read_verdicts
from arena.support.errors import DataError
from arena.support.names import did_you_mean

DIGITS = 4  # in files; published scores have 2
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
        """model -> its answer file, for all models and named baselines."""
        models = {*verdicts.models, *filter(None, verdicts.baselines.values())}
        return self.answers_of(models, verdicts.files)

    def answers_of(self, models: Collection[str], files: Mapping[str, str]) -> dict[str, Path]:
        """model -> its answer file; files: model -> judgment file without .jsonl.

        The file has the name of the model's judgment file or of the model, or its lines have the
        name as `model`: judgment lines may have `org/name` where files are called `name`.
        """
        found = {}
        for name in sorted(models):
            stems = (files.get(name, name), name)
            folders = filter(None, (self.answers_dir, self.made_dir))
            paths = [folder / f"{stem}.jsonl" for folder in folders for stem in stems]
            found[name] = next(filter(Path.is_file, paths), paths[-1])
        if missing := [name for name, path in found.items() if not path.is_file()]:
            inside = {model_inside(path): path for path in sorted(self.answers_dir.glob("*.jsonl"))}
            found |= {name: inside[name] for name in missing if name in inside}
        return found


@dataclass(frozen=True, slots=True)
class Result:
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
    """Read the judgments and compute all tables; `options` are the other ones of votes.Options.

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
    judges = plain(compare_judges(verdicts, chosen, boards, counts))
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
        answers = answer_health(verdicts, votes, weights, *read_lengths(texts, verdicts.questions))
    return plain(
        {
            "bench": sources.bench,
            "judges": [judge_health(verdicts, i, weights) for i in range(len(verdicts.judges))],
            "agreement": agreements(verdicts, weights, weight),
            "answers": answers,
            "examples": verdicts.examples,
            "notes": [*[TOY_NOTE] * (toy or verdicts.toy), *notes, *verdicts.notes],
            "level": LEVEL,
        }
    )


def plain(value: Any) -> Any:
    """Data for JSON: dicts and lists, rounded numbers, None for NaN."""
    text = msgspec.json.encode(value, enc_hook=lambda number: number.item())  # of NumPy
    return json.loads(text, parse_float=lambda number: round(float(number), DIGITS))


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_style_counts(
    files: Mapping[str, Path], questions: Sequence[str]
) -> tuple[dict[str, Array], list[str]]:
    """Return model -> counts [Q, 4] of tokens, headers, list items and bold passages, and notes.

    Missing metadata is computed from the answers.
    """
    computed = set()

    def count(model: str, answer: Answer) -> tuple[float, ...]:
        metadata = complete_metadata(answer.text, answer.metadata)
        if not metadata.items() <= (answer.metadata or {}).items():
            computed.add(model)
        kinds = ("header_count", "list_count", "bold_count")
        return (metadata["token_len"], *(sum(metadata[kind].values()) for kind in kinds))

    missing = "no answer file, so tokens and style are not known"
    counts, notes = _count_answers(files, questions, count, missing, (4,))
    if computed:
        notes.append(
            f"style metadata computed from the answers of {len(computed)} models; token counts: "
            f"{token_counter()[1]}"
        )
    return counts, notes


def read_lengths(
    files: Mapping[str, Path], questions: Sequence[str]
) -> tuple[dict[str, Array], list[str]]:
    """Return model -> characters of its answers [Q], 0 for an empty answer, and notes."""

    def count(_: str, answer: Answer) -> int:
        return 0 if answer.is_empty else len(answer.text.strip())

    return _count_answers(files, questions, count, "no answer file for")


def _count_answers(
    files: Mapping[str, Path],
    questions: Sequence[str],
    count: Callable[[str, Answer], float | Sequence[float]],
    missing: str,
    shape: tuple[int, ...] = (),
) -> tuple[dict[str, Array], list[str]]:
    """Return model -> `count` of its answers [Q, *shape] in the order of `questions`, and notes.

    NaN: no answer; a model without an answer file has only NaN, and a note that begins `missing`.
    """
    counts = {model: np.full((len(questions), *shape), np.nan) for model in files}
    notes = []
    for model, path in files.items():
        if not path.is_file():
            continue
        file = read_answers(path)
        notes += left_out(path, file.unreadable)
        for place, uid in enumerate(questions):
            if uid in file.answers:
                counts[model][place] = count(model, file.answers[uid])
    if gone := [model for model, path in files.items() if not path.is_file()]:
        notes.append(f"{missing}: {', '.join(gone)}")
    return counts, notes


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
