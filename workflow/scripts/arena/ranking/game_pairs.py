"""Games to look at: a seeded sample of each model's pairs, or all of them."""

import hashlib
import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from arena.data.judgments import GameResult, JudgmentLine, read_judgments
from arena.data.verdict import DEFAULT_PATTERNS, VERDICTS, verdict_of
from arena.ranking.agreement import STRENGTH
from arena.ranking.show_result import Sources
from arena.support.names import in_order

KINDS = ("flip", "no verdict", "strong loss")
WORDS = {2: "the model wins clearly", 1: "the model wins", 0: "a tie"} | {
    -1: "the baseline wins",
    -2: "the baseline wins clearly",
}


@dataclass(frozen=True, slots=True)
class Game:
    """label: the judge's verdict, None where it gave none; meaning: the same in words."""

    label: str | None
    meaning: str
    reply: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Both games of a question; in the first A is the baseline. None: it was not played.

    file: the name of the judgment file, without .jsonl; lines may say `org/name` as the model.

    prompt: the judge's user message of the first game, which holds question and answers.
    """

    judge: str
    model: str
    file: str
    baseline: str | None
    uid: str
    category: str
    kinds: tuple[str, ...]
    games: tuple[Game | None, Game | None]
    prompt: str


def find_pairs(
    sources: Sources,
    *,
    rule: str = "v2.0",
    patterns: Sequence[str] = DEFAULT_PATTERNS,
    baselines: Collection[str] = (),
    each: int | None = 1,
    seed: int = 42,
) -> list[Pair]:
    """Return of each model `each` pairs of every kind and as many of all; None: all of them.

    The choice depends on seed, model and question alone: other models or questions change nothing.
    Lines that cannot be read are left out; show_result names them.
    """
    found = []
    for judge, files in sources.judgments.items():
        for path in files:
            lines = (
                (line, _kinds(line))
                for line in read_judgments(path, rule=rule, patterns=patterns, problems=[])
                if line.model != line.baseline
                and (not baselines or line.baseline in (None, *baselines))
            )
            chosen = list(lines) if each is None else _sample(lines, each, seed)
            file = path.name.removesuffix(".jsonl")
            found += [_pair(judge, sources.bench, file, *one) for one in chosen]
    return sorted(found, key=lambda pair: (in_order(pair.model), pair.judge, pair.uid))


def _sample(
    lines: Iterator[tuple[JudgmentLine, tuple[str, ...]]], each: int, seed: int
) -> list[tuple[JudgmentLine, tuple[str, ...]]]:
    """The `each` lines of every kind whose hash is the smallest: a sample in one pass."""
    kept: dict[str, list[tuple[int, str, JudgmentLine, tuple[str, ...]]]] = {}
    for line, kinds in lines:
        for kind in ("any", *kinds):
            text = f"{seed} {kind} {line.model} {line.uid}"
            place = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            heap = kept.setdefault(kind, [])
            # The smallest stay, so the largest lies on top.
            entry = (-place, line.uid, line, kinds)
            if len(heap) < each:
                heapq.heappush(heap, entry)
            elif entry[0] > heap[0][0]:
                heapq.heapreplace(heap, entry)
    return list(
        {uid: (line, kinds) for heap in kept.values() for _, uid, line, kinds in heap}.values()
    )


def _strengths(line: JudgmentLine) -> list[int | None]:
    """Each game's verdict from -2 to 2, seen from the model."""
    return [
        None
        if game is None or game.score is None
        else int(STRENGTH[VERDICTS.index(verdict_of(game.score))]) * (1 if index else -1)
        for index, game in enumerate(line.games)
    ]


def _kinds(line: JudgmentLine) -> tuple[str, ...]:
    first, second = _strengths(line)
    tests = (
        first is not None and second is not None and first * second < 0,
        first is None or second is None,
        -2 in (first, second),
    )
    return tuple(kind for kind, is_so in zip(KINDS, tests, strict=True) if is_so)


def _pair(judge: str, bench: str, file: str, line: JudgmentLine, kinds: tuple[str, ...]) -> Pair:
    prompts = (text for game in line.games if game for role, text in game.prompt if role == "user")
    return Pair(
        judge=judge,
        model=line.model,
        file=file,
        baseline=line.baseline,
        uid=line.uid,
        category=line.category or bench,
        kinds=kinds,
        games=tuple(map(_game, line.games, _strengths(line))),
        prompt=next(prompts, ""),
    )


def _game(game: GameResult | None, strength: int | None) -> Game | None:
    if game is None:
        return None
    meaning = f"no verdict ({game.state})" if strength is None else WORDS[strength]
    return Game(game.score, meaning, game.answer)
