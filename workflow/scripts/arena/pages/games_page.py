"""The page of games: question, both answers, both replies and verdicts side by side.

It has a seeded sample of each model's games, or all. The page's script inserts texts only as text,
never as markup.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from arena.data.answers import read_answers
from arena.data.judgments import JudgmentLine, read_judgments
from arena.data.questions import read_questions
from arena.data.verdict import DEFAULT_PATTERNS, VERDICTS, default_rule, verdict_of
from arena.pages.html import Page, templates
from arena.ranking.judge_health import STRENGTH
from arena.ranking.show_result import TOY_NOTE, Sources
from arena.support.errors import DataError
from arena.support.names import in_order

KINDS = ("flip", "no verdict", "strong loss")
CHARS = 6000  # per text of a sample: some replies are loops of 100,000
WORDS = {2: "the model wins clearly", 1: "the model wins", 0: "a tie"} | {
    -1: "the baseline wins",
    -2: "the baseline wins clearly",
}


def games_page(
    sources: Sources,
    questions: Path | None = None,
    *,
    rule: str | None = None,
    patterns: Sequence[str] = DEFAULT_PATTERNS,
    baselines: Collection[str] = (),
    each: int | None = 1,
    seed: int = 42,
    toy: bool = False,
    notes: Sequence[str] = (),
) -> str:
    """Return the page as HTML, with `each` random pairs of each model and `each` of every kind.

    each: None for all pairs, with whole texts. The sample depends only on seed, model and question.
    questions: default question.jsonl in the parent of the answers' folder. If questions or answers
    are missing, the judge's prompt is shown instead. Unreadable lines are reported by show_result.
    """
    rule = rule or default_rule(sources.bench)
    chars = CHARS if each is not None else None
    pairs, files, wanted = [], {}, defaultdict[str, set[str]](set)
    given = ((judge, path) for judge, some in sources.judgments.items() for path in some)
    for judge, path in given:
        lines = {
            (line.model, line.uid): line  # of two lines the last counts, as in scores
            for line in read_judgments(path, rule=rule, patterns=patterns, problems=[])
            if line.model != line.baseline
            if not baselines or line.baseline in (None, *baselines)
        }.values()
        for line in lines if each is None else _sample(lines, each, seed):
            pairs.append(_pair(judge, sources.bench, line, chars))
            toy = toy or any(game.toy for game in line.games if game)
            files[line.model] = path.name.removesuffix(".jsonl")
            for model in filter(None, (line.model, line.baseline)):
                wanted[model].add(line.uid)
    pairs.sort(key=lambda pair: (in_order(pair["model"]), pair["judge"], pair["uid"]))
    answers = {}
    for model, path in sources.answers_of(wanted, files).items():
        found = read_answers(path).answers if path.is_file() else {}
        known = wanted[model] & found.keys()
        answers[model] = {uid: _cut(found[uid].text, chars) for uid in known}
    shown = {pair["uid"] for pair in pairs}
    notes = [*[TOY_NOTE] * toy, *notes]
    prompts: dict[str, str] = {}
    try:
        asked = read_questions(questions or sources.answers_dir.parent / "question.jsonl")
        prompts = {one.uid: _cut(one.prompt, chars) for one in asked if one.uid in shown}
    except DataError as error:
        notes.append(f"no questions: {error}")
    if missing := [model for model, found in answers.items() if not found]:
        notes.append(f"no answers of {', '.join(missing)}: the judge's prompt is shown instead")
    for pair in pairs:
        both = (pair["uid"] in answers.get(pair[key], ()) for key in ("model", "baseline"))
        if pair["uid"] in prompts and all(both):
            pair["prompt"] = ""
    what = "all games" if each is None else f"a sample of each model's games, seed {seed}"
    about = f"{sources.bench}, judge {' + '.join(sources.judgments)}; {what}"
    data = {"questions": prompts, "answers": answers, "pairs": pairs, "kinds": KINDS}
    page = Page("Games", about, notes)
    return templates().get_template("games.html").render(page=page, data=data)


def _sample(lines: Iterable[JudgmentLine], each: int, seed: int) -> Iterable[JudgmentLine]:
    """`each` random lines of every model, and of its lines of every kind."""
    groups = defaultdict[tuple[str, str], list[tuple[bytes, JudgmentLine]]](list)
    for line in lines:
        for kind in ("any", *_kinds(line)):
            text = f"{seed} {kind} {line.model} {line.uid}"
            chance = hashlib.sha256(text.encode()).digest()
            groups[line.model, kind].append((chance, line))
    chosen = (heapq.nlargest(each, group, key=itemgetter(0)) for group in groups.values())
    return {(line.model, line.uid): line for some in chosen for _, line in some}.values()


def _strengths(line: JudgmentLine) -> list[int | None]:
    """Each game's verdict from -2 (strong loss of the model) to 2."""
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


def _pair(judge: str, bench: str, line: JudgmentLine, chars: int | None) -> dict[str, Any]:
    """Both games of a question as plain data; the prompt is that of the first one played."""
    prompts = (text for game in line.games if game for role, text in game.prompt if role == "user")
    return {
        **{"judge": judge, "model": line.model, "baseline": line.baseline, "uid": line.uid},
        **{"category": line.category or bench, "kinds": _kinds(line)},
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
    """Start and end of a long text; a reply's verdict is at its end."""
    if chars is None or len(text) <= chars:
        return text
    half, left = chars // 2, len(text) - chars
    return f"{text[:half]}\n\n[... {left:,} characters left out ...]\n\n{text[-half:]}"
