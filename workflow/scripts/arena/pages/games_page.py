"""The page of games: question, both answers, both replies and verdicts side by side.

Of each model a seeded sample, or all. Texts are data in the page and shown as text: nothing of them
is ever markup.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from arena.data.answers import read_answers
from arena.data.judgments import JudgmentLine, read_judgments
from arena.data.questions import read_questions
from arena.data.verdict import DEFAULT_PATTERNS, VERDICTS, default_rule, verdict_of
from arena.pages.html import templates
from arena.ranking.agreement import STRENGTH
from arena.ranking.show_result import Sources
from arena.support.errors import DataError
from arena.support.names import in_order

KINDS = ("flip", "no verdict", "strong loss")
CHARS = 6000  # of a text in a sample: some replies are loops of 100,000
WORDS = {2: "the model wins clearly", 1: "the model wins", 0: "a tie"} | {
    -1: "the baseline wins",
    -2: "the baseline wins clearly",
}

Found = tuple[JudgmentLine, list[str]]  # a line and its kinds


def games_page(
    sources: Sources,
    questions: Path | None = None,
    *,
    rule: str | None = None,
    patterns: Sequence[str] = DEFAULT_PATTERNS,
    baselines: Collection[str] = (),
    each: int | None = 1,
    seed: int = 42,
    notes: Sequence[str] = (),
) -> str:
    """Return the page as HTML, with `each` pairs of every kind and as many of all of each model.

    each: None for all pairs, with their whole texts. The choice depends on seed, model and question
    alone. questions: by default beside the answers' folder. What files are missing is noted, and
    the judge's prompt is shown instead; lines that cannot be read are named by show_result.
    """
    rule = rule or default_rule(sources.bench)
    chars = CHARS if each is not None else None
    pairs, files, wanted = [], {}, defaultdict[str, set[str]](set)
    given = ((judge, path) for judge, some in sources.judgments.items() for path in some)
    for judge, path in given:
        lines = (
            (line, _kinds(line))
            for line in read_judgments(path, rule=rule, patterns=patterns, problems=[])
            if line.model != line.baseline
            if not baselines or line.baseline in (None, *baselines)
        )
        for line, kinds in lines if each is None else _sample(lines, each, seed):
            pairs.append(_pair(judge, sources.bench, line, kinds, chars))
            files[line.model] = path.name  # lines may say `org/name`
            for model in filter(None, (line.model, line.baseline)):
                wanted[model].add(line.uid)
    pairs.sort(key=lambda pair: (in_order(pair["model"]), pair["judge"], pair["uid"]))
    answers = {}
    for model, uids in wanted.items():
        name = files.get(model, f"{model}.jsonl")
        places = [folder / name for folder in (sources.answers_dir, sources.made_dir) if folder]
        path = next(filter(Path.is_file, places), places[0])
        found = read_answers(path).answers if path.is_file() else {}
        answers[model] = {uid: _cut(found[uid].text, chars) for uid in uids if uid in found}
    asked, notes = {pair["uid"] for pair in pairs}, list(notes)
    prompts: dict[str, str] = {}
    try:
        for one in read_questions(questions or sources.answers_dir.parent / "question.jsonl"):
            prompts |= {one.uid: _cut(one.prompt, chars)} if one.uid in asked else {}
    except DataError as error:
        notes.append(f"no questions: {error}")
    if silent := [model for model, found in answers.items() if not found]:
        notes.append(f"no answers of {', '.join(silent)}: the judge's prompt is shown instead")
    for pair in pairs:
        both = (pair["uid"] in answers.get(pair[key], ()) for key in ("model", "baseline"))
        if pair["uid"] in prompts and all(both):
            pair["prompt"] = ""
    what = "all games" if each is None else f"a sample of each model's games, seed {seed}"
    about = f"{sources.bench}, judge {' + '.join(sources.judgments)}; {what}"
    data = {"questions": prompts, "answers": answers, "pairs": pairs, "kinds": KINDS}
    return templates().get_template("games.html").render(about=about, notes=notes, data=data)


def _sample(lines: Iterator[Found], each: int, seed: int) -> list[Found]:
    """The `each` lines of every kind whose hash is the largest: a sample in one pass."""
    kept = defaultdict[str, list[tuple[bytes, str, Found]]](list)
    for line, kinds in lines:
        for kind in ("any", *kinds):
            text = f"{seed} {kind} {line.model} {line.uid}"
            entry = (hashlib.sha256(text.encode()).digest(), line.uid, (line, kinds))
            heap = kept[kind]
            if len(heap) < each:
                heapq.heappush(heap, entry)
            elif entry[0] > heap[0][0]:
                heapq.heapreplace(heap, entry)
    return list({uid: found for heap in kept.values() for _, uid, found in heap}.values())


def _strengths(line: JudgmentLine) -> list[int | None]:
    """Each game's verdict from -2 to 2, seen from the model."""
    labels = [game.score if game else None for game in line.games]
    return [
        int(STRENGTH[VERDICTS.index(verdict_of(label))]) * sign if label else None
        for label, sign in zip(labels, (-1, 1), strict=True)
    ]


def _kinds(line: JudgmentLine) -> list[str]:
    strengths = _strengths(line)
    flipped = {strength > 0 for strength in strengths if strength} == {True, False}
    tests = (flipped, None in strengths, -2 in strengths)
    return [kind for kind, is_so in zip(KINDS, tests, strict=True) if is_so]


def _pair(
    judge: str, bench: str, line: JudgmentLine, kinds: Sequence[str], chars: int | None
) -> dict[str, Any]:
    """Both games of a question as plain data; the prompt is that of the first game."""
    prompts = (text for game in line.games if game for role, text in game.prompt if role == "user")
    return {
        **{"judge": judge, "model": line.model, "baseline": line.baseline, "uid": line.uid},
        **{"category": line.category or bench, "kinds": kinds},
        "prompt": _cut(next(prompts, ""), chars and 3 * chars),
        "games": [
            game
            and {
                "label": game.score,
                "meaning": f"no verdict ({game.state})" if strength is None else WORDS[strength],
                "reply": _cut(game.answer, chars),
            }
            for game, strength in zip(line.games, _strengths(line), strict=True)
        ],
    }


def _cut(text: str, chars: int | None) -> str:
    """Begin and end of a text that is too long: the verdict stands at the end."""
    if chars is None or len(text) <= chars:
        return text
    half, left = chars // 2, len(text) - chars
    return f"{text[:half]}\n\n[... {left:,} characters left out ...]\n\n{text[-half:]}"
