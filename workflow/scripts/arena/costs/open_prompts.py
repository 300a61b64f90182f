"""The games that a run would ask, and how long their prompts are."""

import math
from collections.abc import Iterable, Sequence

from arena.data.answers import read_answers
from arena.data.games import Game, GameSettings, plan_games
from arena.data.layout import Layout
from arena.data.lengths import CHAT_TOKENS, lengths_for
from arena.journals.journal import Replayed, read_records
from arena.journals.replay import open_games, reparse
from arena.setup.settings import Settings

NEAR = 0.8  # of the limit: above, tokens are counted, since estimates may be wrong by a fifth
# Judged games to correct estimates with, and of how many models: enough for a mean.
ENOUGH_GAMES, MODELS_COMPARED = 20, 3


class PromptCounter:
    """Counts tokens of prompts; questions and baselines are read once.

    limit: most tokens of a prompt, None if unknown. name: of the tokenizer or estimate.
    """

    def __init__(self, settings: Settings, limit: int | None):
        self._settings, self._layout = settings, Layout(settings.root)
        self._params = GameSettings.from_dict(settings.judgment_params())
        self._questions = settings.asked()
        self._opponents = {name: read_answers(path).answers for name, path in settings.opponents()}
        self._lengths = lengths_for(settings.judge["path"])
        self.name, self._factor = self._lengths.name, 1.0
        self._near = math.inf if limit is None else NEAR * limit

    def correct(self, models: Iterable[str]) -> None:
        """Without the judge's tokenizer: scale lengths by the token counts of earlier games."""
        played = [model for model in models if self._layout.journal(model).exists()]
        ours = theirs = compared = 0
        for model in played[:MODELS_COMPARED] if not self._lengths.is_judges else ():
            games, journal = self._games(model)
            for game, (_, tokens) in zip(games, self._measured(games), strict=True):
                record = journal.records.get(game.digest)
                if record and (counted := record.usage.get("prompt")):
                    ours, theirs, compared = ours + tokens, theirs + counted, compared + 1
        if compared >= ENOUGH_GAMES:
            self._factor = theirs / ours
            self.name += f", times {self._factor:.2f} by {compared:,} games of this judge"

    def open_games(self, model: str) -> tuple[list[tuple[str, int]], int]:
        """(uid, prompt tokens) of a model's open games, and how many games have their verdict.

        Both games of a question have one prompt, and are one open game, if the answers are equal.
        """
        games, journal = self._games(model)
        asked = open_games(games, journal, self._params)
        still_open = {game.digest for game in asked}
        return self._measured(asked), sum(game.digest not in still_open for game in games)

    def _measured(self, games: Sequence[Game]) -> list[tuple[str, int]]:
        """The two games of a pair have the same texts in another order, so one length."""
        texts = {game.uid: "\n".join(part["content"] for part in game.messages) for game in games}
        about = self._lengths.estimate(list(texts.values()))
        tokens = {}
        for (uid, text), length in zip(texts.items(), about, strict=True):
            near = self._factor * (length + CHAT_TOKENS) > self._near
            length = self._lengths.count(text) if near else length
            tokens[uid] = round(self._factor * (length + CHAT_TOKENS))
        return [(game.uid, tokens[game.uid]) for game in games]

    def _games(self, model: str) -> tuple[list[Game], Replayed]:
        answers = read_answers(self._settings.answer(model)).answers
        path = self._layout.journal(model)
        games = plan_games(self._params, self._questions, answers, self._opponents)
        journal = Replayed(read_records(path) if path.exists() else ())
        reparse(journal, self._params)
        return games, journal
