"""The prompts that a run would send, with their lengths: of every game that is to be asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arena.costs.sharing import Layout, Piece
from arena.data.answers import Answer, read_answers
from arena.data.games import GameSettings, plan_games
from arena.data.lengths import Lengths
from arena.data.questions import Question
from arena.journals.journal import Replayed, read_records
from arena.journals.progress import Progress
from arena.journals.replay import open_games, reparse
from arena.setup.settings import Settings

# A length that is estimated may be wrong by a fifth; those nearer to the limit are counted.
NEAR = 0.8

Texts = dict[str, Piece]  # uid -> (text, its tokens)


@dataclass(frozen=True)
class Prompt:
    """One game that will be asked."""

    uid: str
    tokens: int
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class OpenGames:
    """Of one model. played: games in its journal. once: games that share another's prompt."""

    prompts: list[Prompt]
    played: int
    once: int


class Examiner:
    """Puts the prompts of a campaign's models together; questions and baselines are read once."""

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
        self._layout = Layout.of(params.prompts.template, lengths)
        self._systems: dict[str, Piece] = {
            category: (("system", category), lengths.count(params.prompts.system_of(category)))
            for category in {question.category for question in questions}
        }
        self._asked = self._measure({q.uid: q.prompt for q in questions})
        fixed = {*settings.baseline_models, *filter(None, [params.reference])}
        self._answers = {model: read_answers(settings.answer(model)).answers for model in fixed}
        self._fixed = {model: self._measure(_texts(a)) for model, a in self._answers.items()}

    def open_games(self, model: str) -> OpenGames:
        """Of a model that validation found ready."""
        answers = read_answers(self._settings.answer(model)).answers
        closed = self._closed(model, answers)
        mine = self._measure(_texts(answers))
        prompts: dict[tuple, Prompt] = {}
        games = 0
        for question in self._questions:
            for index, values in enumerate(self._values(question, mine)):
                if (question.uid, index) in closed:
                    continue
                games += 1
                pieces = self._layout.pieces(self._systems[question.category], values)
                key = tuple(key for key, _ in pieces)
                if key not in prompts:
                    prompts[key] = Prompt(question.uid, self._length(pieces, values), pieces)
        return OpenGames(list(prompts.values()), len(closed), games - len(prompts))

    def compare(self, model: str) -> tuple[int, int, int]:
        """(games, their prompts' tokens by us, by the server) of what a journal holds."""
        journal = Progress(self._settings.root / "games" / f"{model}.jsonl").update()
        counted = {(line.uid, line.game): line.tokens("prompt") for line in journal.lines}
        mine = self._measure(_texts(read_answers(self._settings.answer(model)).answers))
        games = ours = theirs = 0
        for question in self._questions:
            for index, values in enumerate(self._values(question, mine)):
                if tokens := counted.get((question.uid, index)):
                    pieces = self._layout.pieces(self._systems[question.category], values)
                    games += 1
                    ours += sum(tokens for _, tokens in pieces)
                    theirs += tokens
        return games, ours, theirs

    def _values(self, question: Question, mine: Texts) -> list[dict[str, Piece]]:
        """What fills the template in both games; [] where an answer is missing."""
        params = self._params
        theirs = self._fixed[params.baseline_of(question.category)].get(question.uid)
        ours = mine.get(question.uid)
        reference: Piece | None = ("", 0)
        if params.prompts.wants_reference and params.reference:
            reference = self._fixed[params.reference].get(question.uid)
        if None in (theirs, ours, reference):
            return []
        same = {"QUESTION": self._asked[question.uid], "REFERENCE": reference}
        return [
            same | {"ANSWER_A": first, "ANSWER_B": second}
            for first, second in ((theirs, ours), (ours, theirs))
        ]

    def _length(self, pieces: Sequence[Piece], values: Mapping[str, Piece]) -> int:
        tokens = sum(tokens for _, tokens in pieces)
        if self._near is None or tokens <= self._near:
            return tokens
        return tokens + sum(self._lengths.count(text) - about for text, about in values.values())

    def _measure(self, texts: Mapping[str, str]) -> Texts:
        about = self._lengths.about(list(texts.values()))
        return {uid: (text, n) for (uid, text), n in zip(texts.items(), about, strict=True)}

    def _closed(self, model: str, answers: Mapping[str, Answer]) -> set[tuple[str, int]]:
        """Games that a run would not ask, by its own rules."""
        path = self._settings.root / "games" / f"{model}.jsonl"
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
