"""The prompts that a run would send, with their lengths: of every game that is to be asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from arena.data.answers import Answer, read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.layout import Layout
from arena.data.lengths import CHAT_TOKENS, Lengths
from arena.data.prompts import fill
from arena.data.questions import Question
from arena.journals.journal import Replayed, read_records
from arena.journals.progress import Progress
from arena.journals.replay import open_games, reparse
from arena.setup.settings import Settings

# A length that is estimated may be wrong by a fifth; those nearer to the limit are counted.
NEAR = 0.8

Texts = dict[str, tuple[str, int]]  # uid -> text and its tokens


@dataclass(frozen=True)
class Prompt:
    """Of one game. game: 0 or 1. tokens: all of its messages."""

    uid: str
    game: int
    tokens: int


class PromptCounter:
    """Counts the prompts of a campaign's models; questions and baselines are read once."""

    def __init__(
        self,
        settings: Settings,
        questions: Sequence[Question],
        lengths: Lengths,
        limit: int | None,
    ):
        """limit: tokens that a prompt may have, None where it is not known."""
        self._settings, self._questions, self._lengths = settings, questions, lengths
        self._near = None if limit is None else NEAR * limit
        self._params = params = GameSettings.from_dict(settings.judgment_params())
        markers = dict.fromkeys(("QUESTION", "ANSWER_A", "ANSWER_B", "REFERENCE"), "")
        template = lengths.count(fill(params.prompts.template, markers)) + CHAT_TOKENS
        self._frame = {
            category: template + lengths.count(params.prompts.system_of(category))
            for category in {question.category for question in questions}
        }
        self._asked = self._measure({q.uid: q.prompt for q in questions})
        fixed = {*settings.baseline_models, *filter(None, [params.reference])}
        self._answers = {model: read_answers(settings.answer(model)).answers for model in fixed}
        self._fixed = {model: self._measure(_texts(a)) for model, a in self._answers.items()}

    def open_games(self, model: str) -> tuple[list[Prompt], int]:
        """Games that a run would ask, and how many others are in the journal."""
        answers = read_answers(self._settings.answer(model)).answers
        closed = self._closed(model, answers)
        prompts = self._prompts(answers)
        return [one for one in prompts if (one.uid, one.game) not in closed], len(closed)

    def compare(self, model: str) -> tuple[int, int, int]:
        """(games, their prompts' tokens by us, by the server) of what a journal holds."""
        journal = Progress(Layout(self._settings.root).journal(model)).update()
        counted = {(line.uid, line.game): line.tokens("prompt") for line in journal.lines}
        answers = read_answers(self._settings.answer(model)).answers
        both = [
            (one.tokens, tokens)
            for one in self._prompts(answers)
            if (tokens := counted.get((one.uid, one.game)))
        ]
        return len(both), sum(ours for ours, _ in both), sum(theirs for _, theirs in both)

    def _prompts(self, answers: Mapping[str, Answer]) -> Iterator[Prompt]:
        """Of both games of each question whose answers are there: they have the same texts."""
        mine, params = self._measure(_texts(answers)), self._params
        for question in self._questions:
            texts = [
                self._asked[question.uid],
                self._fixed[params.baseline_of(question.category)].get(question.uid),
                mine.get(question.uid),
            ]
            if params.prompts.wants_reference and params.reference:
                texts.append(self._fixed[params.reference].get(question.uid))
            there = [one for one in texts if one is not None]
            if len(there) < len(texts):
                continue
            frame = self._frame[question.category]
            tokens = frame + sum(about for _, about in there)
            if self._near is not None and tokens > self._near:
                tokens = frame + sum(self._lengths.count(text) for text, _ in there)
            yield from (Prompt(question.uid, game, tokens) for game in (0, 1))

    def _measure(self, texts: Mapping[str, str]) -> Texts:
        about = self._lengths.about(list(texts.values()))
        return {uid: (text, n) for (uid, text), n in zip(texts.items(), about, strict=True)}

    def _closed(self, model: str, answers: Mapping[str, Answer]) -> set[tuple[str, int]]:
        """Games that a run would not ask, by its own rules."""
        path = Layout(self._settings.root).journal(model)
        if not path.exists():
            return set()
        journal = Replayed(read_records(path))
        reference = self._answers.get(self._params.reference or "")
        plan = plan_games(self._params, self._questions, answers, self._answers, reference)
        reparse(journal, self._params)
        asked = {game.digest for game in open_games(plan, journal, self._params)}
        return {game.key for game in plan if game.digest not in asked}


def _texts(answers: Mapping[str, Answer]) -> dict[str, str]:
    return {uid: answer.text for uid, answer in answers.items()}
