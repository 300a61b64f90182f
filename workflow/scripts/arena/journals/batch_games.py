"""The games of all models of a batch and their journals, as one list of prompts to ask.

A prompt that several games share is asked once. The reply with its tokens goes to the journal of
the first game; once the prompt will not be asked again, each other game gets a line of its own
without calls and tokens.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from arena.data.games import Game, Requests
from arena.journals.journal import NO_TOKENS, Journal, Record
from arena.journals.replay import open_games

Owner = tuple[str, Game]  # model, game


@dataclass(slots=True)
class Prompt:
    """One prompt. owners: the games that need it; the first one's journal counts the calls."""

    game: Game
    owners: list[Owner]
    again: int = 0  # replies so far, in this run and in the journals
    calls: int = 0  # since the last line in the journal
    failures: int = 0  # those that may be the game's own fault

    @property
    def order(self) -> tuple[int, int, str]:
        """Question by question, the first game before the second."""
        return self.game.position, self.game.index, self.game.digest


@dataclass
class BatchGames:
    """The games of a batch by model, and the journal of each model, opened for its digests."""

    settings: Requests
    games: Mapping[str, Sequence[Game]]
    journals: Mapping[str, Journal]
    completed: Callable[[str], None] = lambda _: None  # called with a model when its last game ends
    prompts: list[Prompt] = field(init=False)

    def __post_init__(self) -> None:
        self._open: dict[str, set[str]] = {model: set() for model in self.games}
        self.dropped: set[str] = set()
        self.prompts = list(self._plan())

    def drop(self, model: str) -> None:
        """Ask no more for a model; its journal stays as it is."""
        self.dropped.add(model)

    def is_dropped(self, prompt: Prompt) -> bool:
        """Whether all its models are dropped."""
        return self.dropped.issuperset(name for name, _ in prompt.owners)

    def _plan(self) -> Iterator[Prompt]:
        """The prompts to ask, in question order; replies in another journal are copied."""
        by_digest: dict[str, Prompt] = {}
        open_now = {
            model: {game.digest for game in open_games(games, self.journals[model], self.settings)}
            for model, games in self.games.items()
        }
        known = {
            digest: record
            for model, needed in open_now.items()
            for digest, record in self.journals[model].records.items()
            if digest not in needed
        }
        for model, needed in open_now.items():
            journal = self.journals[model]
            for game in self.games[model]:
                if game.digest not in needed:
                    self._own_line(model, game, journal.records[game.digest])
                elif game.digest in known:
                    self._own_line(model, game, known[game.digest])
                else:
                    prompt = by_digest.setdefault(game.digest, Prompt(game, []))
                    prompt.owners.append((model, game))
                    prompt.again = max(prompt.again, journal.times_asked(game.digest))
                    self._open[model].add(game.digest)
        for prompt in by_digest.values():
            # First the one that asked before: its journal has counted the calls so far.
            prompt.owners.sort(key=lambda one: -self.journals[one[0]].asked[prompt.game.digest])
            prompt.game = prompt.owners[0][1]
        yield from sorted(by_digest.values(), key=lambda prompt: prompt.order)

    def record_of(self, prompt: Prompt) -> Record | None:
        """The last record of a prompt that was asked before and got no verdict."""
        lines = (self.journals[model].records.get(game.digest) for model, game in prompt.owners)
        return next(filter(None, lines), None)

    def finish(self, prompt: Prompt, record: Record, *, is_final: bool) -> None:
        """Record a reply. is_final: the prompt will not be asked again. Raises JournalError."""
        payer, _ = prompt.owners[0]
        self.journals[payer].append(record)
        if is_final:
            self._settle(prompt, record)

    def _settle(self, prompt: Prompt, record: Record) -> None:
        for model, game in prompt.owners:
            self._own_line(model, game, record)
        for model in dict.fromkeys(model for model, _ in prompt.owners):
            if prompt.game.digest in self._open[model]:
                self._open[model].discard(prompt.game.digest)
                if not self._open[model]:
                    self.completed(model)

    def settle_rest(self) -> None:
        """At the end: prompts with a reply but no verdict keep that reply."""
        for prompt in self.prompts:
            if record := self.record_of(prompt):
                self._settle(prompt, record)

    def _own_line(self, model: str, game: Game, record: Record) -> None:
        """Give a game a line with the reply of another one, unless its own line is as good."""
        journal = self.journals[model]
        own = journal.last.get((game.digest, *game.key))
        is_damaged = game.digest not in journal.records  # see `reparse`
        if own is None or is_damaged or (record.label and record.answer != own.answer):
            reason = f"the same prompt as game {record.game} of {record.uid}"
            line = replace(record, uid=game.uid, game=game.index, reason=reason)
            journal.append(replace(line, usage=dict(NO_TOKENS), attempts=0, seconds=0.0))

    def states(self, model: str) -> Counter[str]:
        """The states of a model's finished games."""
        records = self.journals[model].records
        found = (records.get(game.digest) for game in self.games[model])
        return Counter(record.state for record in found if record)

    def total(self) -> int:
        return sum(map(len, self.games.values())) - sum(map(self.left, self.dropped))

    def played(self) -> int:
        return sum(self.states(model).total() for model in self.games)

    def left(self, model: str) -> int:
        """Unfinished games of a model; one to be asked again for a verdict counts as finished."""
        return len(self.games[model]) - self.states(model).total()

    def is_whole(self, model: str) -> bool:
        return not self._open[model]

    def sync(self) -> None:
        for journal in self.journals.values():
            journal.sync()
