"""All verdicts as one array of small integers, the votes they stand for, and how to count them.

    Verdicts.codes[judge, model, question, game]     int8: 0..4 = VERDICTS, negative = no verdict
    Votes.wins, .votes[model, question]              votes for the model (a tie is 0.5), all votes

1,000 models x 750 questions take 1.5 MB per judge.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice
from pathlib import Path
from typing import Any

import numpy as np

from arena.data.answers import left_out
from arena.data.judgments import STATES, GameResult, JudgmentLine, read_judgments
from arena.data.verdict import DEFAULT_PATTERNS, VERDICTS, verdict_of
from arena.support.errors import ConfigError, DataError
from arena.support.jsonl import Line
from arena.support.names import did_you_mean, in_order

Array = np.ndarray
OVERALL = "overall"  # the table of all categories
ABSENT = -len(STATES) - 1  # no such line, or a line with only one game
CODE_OF_VERDICT = {verdict: code for code, verdict in enumerate(VERDICTS)}
CODE_OF_STATE = {state: -1 - code for code, state in enumerate(STATES)}  # "ok" is never stored
CI = ("questions", "upstream", "unanchored")
POOL = ("games", "votes")
RANKS = ("simultaneous", "marginal")
FEATURES = {"length": ("length",), "markdown": ("header", "list", "bold")}  # -> style columns
LEVELS = {"v2.0": 0.90, "v0.1": 0.95}  # of intervals, as in Arena-Hard-Auto
ROUNDS = 1000  # with Arena-Hard-Auto's 100, bounds have a noise of a tenth of the interval's width
EXAMPLES = 3  # replies without a verdict that are kept, per judge and state
EXAMPLE_CHARS = 300  # the end of a reply, where the verdict should be
MAX_NOTES = 5  # in an error: 117 files fail in the same way
# Start of a file without any readable line -> what it is and how to convert it.
KNOWN_FORMATS = {
    rb"\xff\xfe|\xfe\xff": ": the file is UTF-16; convert it with iconv -f UTF-16 -t UTF-8",
    rb"\s*\[": ": the file is one JSON array; convert it with jq -c '.[]' (one object per line)",
    rb"\s*\{\s*\n": ": each object spans several lines; convert it with jq -c . (one per line)",
    rb'.*"model_1"': ": these are pairwise judgments of FastChat's MT-Bench, not of Arena-Hard",
}
# Kind of line (see `_Reader._add`) -> note with the number of such lines.
NOTES = {
    "duplicate": "{} questions judged twice; the last line counts",
    "itself": "judged against itself; its row is the baseline's, 50.0",
    "other baseline": "{} lines against another baseline left out",
}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All verdicts of one bench. Models and questions are sorted, categories in order of name."""

    judges: tuple[str, ...]
    models: tuple[str, ...]
    questions: tuple[str, ...]
    categories: tuple[str, ...]
    category: Array  # [Q] index into categories
    baselines: Mapping[str, str | None]  # category -> baseline; None: no line names it
    codes: Array  # [J, M, Q, 2] int8; a baseline has none against itself
    toy: bool = False  # the demo judge played at least one game
    examples: Sequence[Mapping[str, Any]] = ()  # ends of replies without a verdict
    notes: tuple[str, ...] = ()  # problems of the files and how they were handled
    # category -> judge -> system prompt -> models, from the first game of a file that has a prompt
    prompts: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # model -> judgment file without .jsonl

    def of_baselines(self, known: Mapping[str, Array], unknown: Array) -> Array:
        """Each question's row of known[baseline of its category] [Q, ...], else of `unknown`."""
        theirs = [known.get(self.baselines[name] or "", unknown) for name in self.categories]
        return np.array([theirs[category][row] for row, category in enumerate(self.category)])


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes by model and question, summed over judges and both games."""

    wins: Array  # [M, Q] votes for the model; a tie is half a win
    ties: Array  # [M, Q]
    votes: Array  # [M, Q]
    games: Array  # [M, Q] number of games that gave these votes
    games_won: Array
    games_tied: Array

    def __getitem__(self, some: Any) -> "Votes":
        """Votes of some models, or, as votes[:, questions], on some questions."""
        return Votes(*(getattr(self, name)[some] for name in self.__slots__))

    def where(self, known: Array) -> "Votes":
        """Votes without those on answers [M, Q] that are not `known`."""
        return Votes(*(getattr(self, name) * known for name in self.__slots__))

    def with_baseline(self) -> "Votes":
        """Votes with one more row, the baseline against itself: a tie on every question."""
        tie = np.ones(self.votes.shape[1])
        last = zip(self.__slots__, (tie / 2, tie, tie, tie, 0 * tie, tie), strict=True)
        return Votes(*(np.vstack([getattr(self, name), row]) for name, row in last))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a leaderboard; the defaults are ours, not Arena-Hard-Auto's.

    The config's schema and the command's parser check the names.
    """

    rule: str = "v2.0"
    weight: float = 3
    pool: str = POOL[0]  # with several judges, whether all games or all votes count the same
    rounds: int = ROUNDS
    seed: int = 42
    ci: str = CI[0]
    ranks: str = RANKS[0]
    control_features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in ("weight", "rounds"):
            if not 0 < getattr(self, key) < math.inf:
                raise ConfigError(f"{key}: {getattr(self, key)} is not a positive number")
        if self.ci == "unanchored" and (self.rule != "v0.1" or self.control_features):
            raise ConfigError(
                "ci: unanchored needs rule v0.1 without style control; use upstream instead"
            )
        if self.seed < 0:
            raise ConfigError(f"seed: {self.seed} is negative; use a number from 0")

    @property
    def level(self) -> float:
        return LEVELS[self.rule]

    @property
    def paired(self) -> bool:
        """Whether differences use the questions that two models share.

        Style control and resampled votes give no scores per question, so there they use the scores.
        """
        return self.ci == "questions" and not self.control_features


def count_votes(
    codes: Array, rule: str = "v2.0", weight: float = 3, pool_by: Array | None = None
) -> Votes:
    """Turn verdicts [J, M, Q, 2] into votes.

    A strong verdict counts `weight` votes. A is the baseline in games[0], the model in games[1].
    Rule v2.0 drops a judge's question when either game has no verdict, v0.1 keeps the other game.

    pool_by: [Q] categories in which the games of all judges of a model count the same, however
    often a judge gives strong verdicts; None: all votes count the same.
    """
    has = codes >= 0
    counted = has.all(axis=-1, keepdims=True) & has if rule == "v2.0" else has
    index = np.where(counted, codes, len(VERDICTS))  # the last entry of the tables: no vote
    votes = np.array([weight, 1, 1, 1, weight, 0])[index]
    wins = np.array([weight, 1, 0.5, 0, 0, 0])[index]
    wins[..., 0] = votes[..., 0] - wins[..., 0]
    ties = index == VERDICTS.index("A=B")
    scale = np.ones(votes.shape)
    if pool_by is not None and len(codes) > 1:
        for category in np.unique(pool_by):
            here = np.flatnonzero(pool_by == category)
            games, cast = (part[:, :, here].sum(axis=(2, 3)) for part in (counted, votes))  # [J, M]
            with np.errstate(invalid="ignore"):
                # The total votes of a model stay the same; judges share them by their games.
                factor = np.nan_to_num(games / cast * (cast.sum(axis=0) / games.sum(axis=0)))
            scale[:, :, here] = factor[:, :, None, None]
    parts = (wins * scale, ties * scale, votes * scale, counted, counted & ~ties & (wins > 0), ties)
    return Votes(*(part.sum(axis=(0, 3)) for part in parts))


def read_verdicts(
    files: Mapping[str, Sequence[Path]],
    bench: str,
    rule: str = "v2.0",
    patterns: Sequence[str] = DEFAULT_PATTERNS,
    categories: Collection[str] = (),
    baselines: Collection[str] = (),
) -> Verdicts:
    """Read judgment files, judge -> files. Lines without a category take the bench's name.

    `categories`: only these. `baselines`: only judgments against one of these; lines without a
    baseline are kept, and a single name is taken as their baseline. Raises DataError when
    nothing is left, and when a category has judgments against two baselines.
    """
    reader = _Reader(bench, rule, patterns, set(baselines))

    def is_other(path: Path) -> bool:
        """Whether the first readable line is of another model than the file's name says."""
        lines = read_judgments(path, rule=rule, patterns=patterns, problems=[])
        return not any(_is_called(path, line.model) for line in islice(lines, 1))

    for judge, paths in files.items():
        if not paths:
            reader.notes.append(f"judge {judge} judged none of these models")
        # If two files have lines of a model, the file with the model's name counts: read it first.
        for path in sorted(paths, key=is_other):
            reader.read(judge, path)
    return reader.table(categories)


@dataclass(slots=True)
class _Reader:
    """Collects verdicts line by line: two bytes per question, judge and model."""

    bench: str
    rule: str
    patterns: Sequence[str]
    baselines: set[str]
    place: dict[str, int] = field(default_factory=dict)  # question -> index in arrays of codes
    # (judge, model) -> two codes per question, and the first file with lines of it
    codes: dict[tuple[str, str], "array[int]"] = field(default_factory=dict)
    file: dict[tuple[str, str], Path] = field(default_factory=dict)
    category: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)  # question -> an earlier line's category
    # (question, baseline) -> lines; by question, as its category may only be in a later file
    against: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    toy: bool = False
    prompts: dict[str, dict[str, dict[str, list[str]]]] = field(default_factory=dict)

    def read(self, judge: str, path: Path) -> None:
        problems: list[Line] = []
        counts: Counter[str] = Counter()
        prompted: set[str | None] = set()  # categories whose system prompt in this file is known
        others: dict[Path, str] = {}  # earlier files with judgments of a model of this file
        for line in read_judgments(path, rule=self.rule, patterns=self.patterns, problems=problems):
            first = self.file.setdefault((judge, line.model), path)
            if first is not path:
                others[first] = line.model
                if _is_called(first, line.model):
                    continue
            kind = self._add(judge, line)
            counts[kind] += 1
            counted = kind in ("new", "duplicate")
            if counted and line.category not in prompted and self._prompt(judge, line):
                prompted.add(line.category)
        found = counts or others
        self.notes += left_out(path, problems) if found else [_unreadable(path, problems)]
        texts = [
            f"not counted, because {first} has the model's name and its judgments"
            if _is_called(first, model)
            else f"has judgments of {model}, as has {first}; both count"
            for first, model in others.items()
        ]
        texts += [text.format(counts[kind]) for kind, text in NOTES.items() if counts[kind]]
        self.notes += [f"{path}: {text}" for text in texts]

    def _add(self, judge: str, line: JudgmentLine) -> str:
        if line.baseline and self.baselines and line.baseline not in self.baselines:
            return "other baseline"
        if line.model == line.baseline:
            return "itself"
        if line.category:
            known = self.category.get(line.uid, line.category)
            self.category[line.uid] = line.category
            if known != line.category:
                self.moved[line.uid] = known
        if line.baseline:
            self.against[line.uid, line.baseline] += 1
        place = 2 * self.place.setdefault(line.uid, len(self.place))
        codes = self.codes.setdefault((judge, line.model), array("b"))
        codes.extend([ABSENT] * (place + 2 - len(codes)))
        seen = any(code != ABSENT for code in codes[place : place + 2])
        for index, game in enumerate(line.games):
            codes[place + index] = self._code(judge, line, index, game)
        return "duplicate" if seen else "new"

    def _prompt(self, judge: str, line: JudgmentLine) -> bool:
        """Store the line's system prompt; False where it has none."""
        prompts = (game.system_prompt for game in line.games if game)
        prompt = next((one for one in prompts if one is not None), None)
        if prompt is not None:
            by_judge = self.prompts.setdefault(_category(line.category or self.bench), {})
            by_judge.setdefault(judge, {}).setdefault(prompt, []).append(line.model)
        return prompt is not None

    def _code(self, judge: str, line: JudgmentLine, index: int, game: GameResult | None) -> int:
        if game is None:
            # null as one of two games is a failed call; in a line with one game there was no call.
            return CODE_OF_STATE["null"] if index < line.played else ABSENT
        self.toy = self.toy or game.toy
        if game.score is not None:
            return CODE_OF_VERDICT[verdict_of(game.score)]
        kind = {"judge": judge, "state": game.state}
        kept = {one["text"] for one in self.examples if kind.items() <= one.items()}
        if len(kept) < EXAMPLES:
            text = game.answer.strip()[-EXAMPLE_CHARS:]
            if text not in kept:
                where = {"judge": judge, "model": line.model, "uid": line.uid, "game": index}
                self.examples.append(where | {"state": game.state, "text": text})
        return CODE_OF_STATE[game.state]

    def table(self, wanted: Collection[str]) -> Verdicts:
        category_of = {uid: _category(self.category.get(uid, self.bench)) for uid in self.place}
        found = sorted(set(category_of.values()))
        for name in wanted:
            if name not in found:
                hint = did_you_mean(name, found) or f"; known: {', '.join(found) or 'none'}"
                raise DataError(f"category {name!r} is in no judgment file{hint}")
        categories = [name for name in found if not wanted or name in wanted]
        questions = sorted(uid for uid in self.place if category_of[uid] in categories)
        category = np.array([categories.index(category_of[uid]) for uid in questions], dtype=int)
        judges = list(dict.fromkeys(judge for judge, _ in self.codes))
        models = sorted({model for _, model in self.codes}, key=in_order)
        codes = np.full((len(judges), len(models), len(self.place), 2), ABSENT, dtype=np.int8)
        for (judge, model), pairs in self.codes.items():
            known = np.frombuffer(pairs, dtype=np.int8).reshape(-1, 2)
            codes[judges.index(judge), models.index(model), : len(known)] = known
        codes = codes[:, :, [self.place[uid] for uid in questions]]
        notes = self.notes
        if self.moved:
            uid, earlier = next(iter(self.moved.items()))
            notes.append(
                f"{len(self.moved)} questions have two categories, and the last one read counts: "
                f"first {uid}, in {category_of[uid]} and before in {_category(earlier)}"
            )
        if _category(OVERALL) in found:
            notes.append(
                f"the category {OVERALL!r} is shown as {_category(OVERALL)!r}, because "
                f"{OVERALL!r} is the table of all categories"
            )
        baselines = self._baselines(categories, category_of)
        for number, (name, baseline) in enumerate(baselines.items()):
            if baseline in models:
                itself = (slice(None), models.index(baseline), category == number)
                if (codes[itself] != ABSENT).any():
                    notes.append(
                        f"category {name}: the baseline {baseline} was judged against itself; "
                        "these judgments are left out, its score is 50.0"
                    )
                codes[itself] = ABSENT
        judged = np.asarray((codes != ABSENT).any(axis=(0, 2, 3)))
        if not judged.any():
            more = [f"and {len(notes) - MAX_NOTES} more"] if len(notes) > MAX_NOTES else []
            head = "the judgment files have no judgments that can be counted"
            raise DataError("\n".join([head, *notes[:MAX_NOTES], *more]))
        return Verdicts(
            judges=tuple(judges),
            models=tuple(compress(models, judged)),
            questions=tuple(questions),
            categories=tuple(categories),
            category=category,
            baselines=baselines,
            codes=codes[:, judged],
            files={m: path.name.removesuffix(".jsonl") for (_, m), path in self.file.items()},
            toy=self.toy,
            prompts={name: self.prompts[name] for name in categories if name in self.prompts},
            examples=self.examples,
            notes=tuple(notes),
        )

    def _baselines(
        self, categories: Sequence[str], category_of: Mapping[str, str]
    ) -> dict[str, str | None]:
        only = next(iter(self.baselines)) if len(self.baselines) == 1 else None
        found: dict[str, Counter[str]] = {name: Counter() for name in categories}
        for (uid, baseline), lines in self.against.items():
            if category_of[uid] in found:
                found[category_of[uid]][baseline] += lines
        for category, against in found.items():
            if len(against) > 1:
                names = (f"{name} ({lines} lines)" for name, lines in against.most_common())
                raise DataError(
                    f"category {category}: judgments against {len(against)} baselines, whose "
                    f"scores are not comparable: {', '.join(names)}; select one with --baseline, "
                    "or move the other files away"
                )
        return {category: next(iter(against), only) for category, against in found.items()}


def _is_called(path: Path, model: str) -> bool:
    """Whether the file has the model's name; for `org/name` also `name`."""
    return path.name.removesuffix(".jsonl") in (model, model.rpartition("/")[2])


def _unreadable(path: Path, problems: Sequence[Line]) -> str:
    """Why a file has no readable line, with a hint for known formats."""
    if not problems:
        return f"{path}: empty"
    with path.open("rb") as file:
        start = file.read(200)
    hints = (hint for pattern, hint in KNOWN_FORMATS.items() if re.match(pattern, start, re.S))
    error = f"{path}:{problems[0].number}: {problems[0].error}"
    return f"{error}; none of its {len(problems)} lines can be read{next(hints, '')}"


def _category(name: str) -> str:
    """The name that is shown for a category."""
    return f"{name} (category)" if name == OVERALL else name
