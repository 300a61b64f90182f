"""The page of games: question, both answers, both replies and verdicts side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arena.data.answers import read_answers
from arena.data.questions import read_questions
from arena.pages.html import templates
from arena.ranking.game_pairs import KINDS, Pair
from arena.support.errors import DataError

CHARS = 6000  # of a text in a sample: some replies are loops of 100,000


def games_page(
    pairs: Sequence[Pair],
    questions: Path,
    answers: Mapping[str, Path],
    about: str,
    notes: Sequence[str] = (),
    chars: int = CHARS,
) -> str:
    """Return the page as HTML; `answers`: model -> its file.

    Each text stands in it once, as data, and is shown as text: nothing of it is ever markup. What
    files are missing is noted, and the judge's prompt is shown instead.
    """
    wanted: dict[str, set[str]] = {}
    for pair in pairs:
        for model in filter(None, (pair.model, pair.baseline)):
            wanted.setdefault(model, set()).add(pair.uid)
    texts = {model: _answers(answers.get(model), uids) for model, uids in wanted.items()}
    asked = {pair.uid for pair in pairs}
    notes = list(notes)
    try:
        prompts = {one.uid: one.prompt for one in read_questions(questions) if one.uid in asked}
    except DataError as error:
        prompts = {}
        notes.append(f"no questions: {error}")
    if silent := [model for model, found in texts.items() if not found]:
        notes.append(f"no answers of {', '.join(silent)}: the judge's prompt is shown instead")
    data = {
        "questions": {uid: _cut(text, chars) for uid, text in prompts.items()},
        "answers": {
            model: {uid: _cut(text, chars) for uid, text in found.items()}
            for model, found in texts.items()
        },
        "pairs": [_plain(pair, prompts, texts, chars) for pair in pairs],
        "kinds": KINDS,
    }
    return templates().get_template("games.html").render(about=about, notes=notes, data=data)


def _plain(pair: Pair, questions: Mapping[str, str], texts: Any, chars: int) -> dict[str, Any]:
    whole = (
        pair.uid in questions
        and pair.uid in texts[pair.model]
        and pair.uid in texts.get(pair.baseline, {})
    )
    return {
        **{key: getattr(pair, key) for key in ("judge", "model", "baseline", "uid", "category")},
        "kinds": pair.kinds,
        "prompt": "" if whole else _cut(pair.prompt, 3 * chars),
        "games": [
            game
            and {"label": game.label, "meaning": game.meaning, "reply": _cut(game.reply, chars)}
            for game in pair.games
        ],
    }


def _answers(path: Path | None, uids: set[str]) -> dict[str, str]:
    if path is None or not path.is_file():
        return {}
    return {uid: one.text for uid, one in read_answers(path).answers.items() if uid in uids}


def _cut(text: str, chars: int) -> str:
    """Begin and end of a text that is too long: the verdict stands at the end."""
    if len(text) <= chars:
        return text
    half = chars // 2
    return (
        f"{text[:half]}\n\n[... {len(text) - 2 * half:,} characters left out ...]\n\n{text[-half:]}"
    )
