"""The games of all models of a batch and their journals, as one list of prompts to ask.

A prompt that several games share is asked once. The reply with its tokens goes to the journal of
the first game; once the prompt will not be asked again, each other game gets a line of its own
without calls and tokens.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        self._ended: dict[str, dict[tuple[str, int], str]] = {model: {} for model in self.games}
        self.dropped: set[str] = set()
        self.prompts = list(self._plan())

    def drop(self, model: str) -> None:
        """Ask no more for a model; its journal stays as it is."""
        self.dropped.add(model)

    def is_dropped(self, prompt: Prompt) -> bool:
        """Whether all its models are dropped; False for the control, which has no owners."""
        return bool(prompt.owners) and self.dropped.issuperset(name for name, _ in prompt.owners)

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
            for digest, record in self._records(model).items()
            if digest not in needed
        }
        for model, needed in open_now.items():
            journal = self.journals[model]
            for game in self.games[model]:
                if record := journal.records.get(game.digest):
                    self._ended[model][game.key] = record.state
                if game.digest not in needed:
                    self._own_line(model, game, journal.records[game.digest])
                elif game.digest not in journal.records and game.digest in known:
                    self._own_line(model, game, known[game.digest])
                else:
                    prompt = by_digest.setdefault(game.digest, Prompt(game, []))
                    prompt.owners.append((model, game))
                    prompt.again = max(prompt.again, journal.times_asked(game.digest))
                    self._open[model].add(game.digest)
        for prompt in by_digest.values():
            # First the one that asked before: its journal has counted the calls so far.
            prompt.owners.sort(key=lambda one: prompt.game.digest not in self._records(one[0]))
            prompt.game = prompt.owners[0][1]
        yield from sorted(by_digest.values(), key=lambda prompt: prompt.order)

    def _records(self, model: str) -> Mapping[str, Record]:
        return self.journals[model].records

    def record_of(self, prompt: Prompt) -> Record | None:
        """The last record of a prompt that was asked before and got no verdict."""
        lines = (self._records(model).get(game.digest) for model, game in prompt.owners)
        return next(filter(None, lines), None)

    def finish(self, prompt: Prompt, record: Record, *, is_final: bool) -> None:
        """Record a reply. is_final: the prompt will not be asked again. Raises JournalError."""
        (payer, game), *others = prompt.owners
        self.journals[payer].append(record)
        self._ended[payer][game.key] = record.state
        if is_final:
            self._settle(prompt, record, others)

    def _settle(self, prompt: Prompt, record: Record, others: Iterable[Owner]) -> None:
        for model, game in others:
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
                self._settle(prompt, record, prompt.owners)

    def _own_line(self, model: str, game: Game, record: Record) -> None:
        self._ended[model][game.key] = record.state
        if (game.digest, *game.key) in self.journals[model].recorded:
            return
        reason = f"the same prompt as game {record.game} of {record.uid}"
        line = replace(record, uid=game.uid, game=game.index, reason=reason)
        line = replace(line, usage=dict(NO_TOKENS), attempts=0, seconds=0.0)
        self.journals[model].append(line)

    def states(self, model: str) -> Counter[str]:
        return Counter(self._ended[model].values())

    def total(self) -> int:
        return sum(map(len, self.games.values())) - sum(map(self.left, self.dropped))

    def played(self) -> int:
        return sum(map(len, self._ended.values()))

    def left(self, model: str) -> int:
        """Unfinished games of a model; one to be asked again for a verdict counts as finished."""
        return len(self.games[model]) - len(self._ended[model])

    def is_whole(self, model: str) -> bool:
        return not self._open[model]

    def sync(self) -> None:
        for journal in self.journals.values():
            journal.sync()
