"""What must hold after a chaos run, and the line of figures that it leaves."""

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from arena.journals.compact import check
from arena.journals.journal import read_records

from tests.chaos import known
from tests.chaos.bench import MODELS, PARALLEL, Bench
from tests.chaos.run import NEEDED, Told, read_pairs

HEAD = (
    "seed   games  calls  faults  orphans  retried  vanished  lost  double  differ  extra of most  "
    "seconds"
)


@dataclass(frozen=True)
class Outcome:
    """One seed. Calls = games + retried + vanished + torn + extra.

    retried: struck by a fault, or answered by a dead engine. vanished: in flight at the end of a
    judge, which had `lives`. torn: of games whose line was torn out of a journal. extra: all the
    rest, which can only have been in flight at the kill of the batch or of Snakemake; `most` is how
    many were. orphans: batches that outlived a killed Snakemake, and that the next one met. left:
    processes that were there after the end. missing: kinds of faults that never fired; such a seed
    does not count.
    """

    games: int
    calls: int
    faults: int
    retried: int
    vanished: int
    torn: int
    extra: int
    most: int
    lost: int
    doubled: int
    differing: int
    lives: int
    orphans: int
    unequal: list[str]
    left: list[str]
    missing: set[str]
    seconds: float

    @property
    def is_good(self) -> bool:
        wrong = self.lost or self.doubled or self.differing or self.unequal or self.left
        vanished = 0 <= self.vanished <= self.lives * PARALLEL
        return not wrong and vanished and 0 <= self.extra <= self.most

    def row(self, seed: int) -> str:
        state = "ok" if self.is_good else f"BAD {self.unequal + self.left}"
        if self.missing:
            state += f" (does not count: no {', '.join(sorted(self.missing))})"
        return (
            f"{seed:4}  {self.games:6} {self.calls:6}  {self.faults:6}  {self.orphans:7}  "
            f"{self.retried:7}  "
            f"{self.vanished:8}  {self.lost:4}  {self.doubled:6}  {self.differing:6}  "
            f"{self.extra:5} of {self.most:4}  {self.seconds:7.0f}  {state}"
        )


def examine(calm: Bench, stormy: Bench, told: Told) -> Outcome:
    """Compare a disturbed run with the undisturbed one, and its calls with the judge's logs."""
    games = lost = doubled = differing = 0
    unequal = []
    if calm.leaderboard.read_bytes() != stormy.leaderboard.read_bytes():
        unequal.append("another leaderboard")
    for model in MODELS:
        before, after = scores(calm, model), scores(stormy, model)
        games += len(before)
        lost += len(before.keys() - after.keys())
        doubled += sum(len(found) - 1 for found in after.values())
        differing += sum(after.get(key, found) != found for key, found in before.items())
        if without_times(calm, model) != without_times(stormy, model):
            unequal.append(f"{model}: other bytes")
        unequal += journal_problems(stormy, model)
    calls, replies = len(told.calls), sum(told.replies.values())
    retried = sum(told.struck.values()) + sum(told.failed.values())
    return Outcome(
        games=games,
        calls=calls,
        faults=sum(told.faults.values()),
        retried=retried,
        vanished=calls - replies - retried,
        torn=told.torn,
        extra=replies - games - told.torn,
        most=sum(told.kills),
        lost=lost,
        doubled=doubled,
        differing=differing,
        lives=told.lives,
        orphans=told.orphans,
        unequal=unequal,
        left=told.left,
        missing=NEEDED - set(told.faults),
        seconds=told.seconds,
    )


def known_problems(calm: Bench) -> list[str]:
    """Where an undisturbed run differs from what is known beforehand."""
    found = []
    calls = Counter(prompt for _, prompt in read_pairs(calm.run / "calls"))
    for model, prompts in calm.prompts().items():
        if more := sum(calls[prompt] - 1 for prompt in prompts):
            found.append(f"{model}: {more} calls more than games")
    with calm.leaderboard.open(newline="") as file:
        table = {row["model"]: float(row["score"]) for row in csv.DictReader(file)}
    for model in MODELS:
        found += journal_problems(calm, model)
        expected, pairs = {}, []
        answers = {name: texts(calm.data, name) for name in (model, "base")}
        for uid, question in texts(calm.data, None).items():
            theirs, ours = answers["base"][uid], answers[model][uid]
            games = [known.verdict(question, theirs, ours), known.verdict(question, ours, theirs)]
            expected |= {(uid, index): [game] for index, game in enumerate(games)}
            pairs.append((games[0][1], games[1][1]))
        wrong = {key: one for key, one in scores(calm, model).items() if expected.get(key) != one}
        if wrong or len(expected) != 2 * calm.questions:
            found.append(f"{model}: not the known verdicts: {dict(list(wrong.items())[:3])}")
        if abs(table[model] - known.score(pairs)) > 0.0001:
            found.append(f"{model}: score {table[model]}, known: {known.score(pairs):.3f}")
    return found


def texts(data: Path, model: str | None) -> dict[str, str]:
    """uid -> answer of a model; without one, the question."""
    path = f"model_answer/{model}.jsonl" if model else "question.jsonl"
    lines = map(json.loads, (data / "chaos" / path).read_text().splitlines())
    return {one["uid"]: one["messages"][0]["content"] if model else one["prompt"] for one in lines}


def journal_problems(bench: Bench, model: str) -> list[str]:
    """Unless the journal holds each game exactly once, and nothing else."""
    journal = bench.journal(model)
    held = Counter(record.digest for record in read_records(journal))
    planned = Counter(game.digest for game in bench.games(model))
    found = [f"{model}: {flaw.error}" for flaw in check(journal).flaws]
    if missing := planned - held:
        found.append(f"{model}: {missing.total()} games are not in the journal")
    if more := held - planned:
        found.append(f"{model}: {more.total()} lines too many in the journal")
    return found


def scores(bench: Bench, model: str) -> dict[tuple[str, int], list]:
    """(uid, index) -> the scores under that key: exactly one where nothing is doubled."""
    found: dict[tuple[str, int], list] = {}
    for line in bench.output(model).read_text(encoding="utf-8").splitlines():
        plain = json.loads(line)
        for index, game in enumerate(plain["games"]):
            found.setdefault((plain["uid"], index), []).append((game["state"], game["score"]))
    return found


def without_times(bench: Bench, model: str) -> bytes:
    """The judgment file's bytes, once the seconds of its games are dropped."""
    lines = []
    for text in bench.output(model).read_text(encoding="utf-8").splitlines():
        plain = json.loads(text)
        for game in plain["games"]:
            del game["seconds"]
        lines.append(json.dumps(plain, ensure_ascii=False))
    return "\n".join(lines).encode()


def summary(outcomes: list[Outcome]) -> str:
    """One line over all seeds that count."""
    total = Counter()
    for outcome in outcomes:
        for name in ("games", "faults", "orphans", "lost", "doubled", "differing", "extra", "most"):
            total[name] += getattr(outcome, name)
    return (
        f"{len(outcomes)} seeds, {total['games']:,} games, {total['faults']:,} faults, "
        f"{len(outcomes)} kills of Snakemake that left {total['orphans']} batches behind: "
        f"{total['lost']} lost, {total['doubled']} doubled, {total['differing']} differing; "
        f"{total['extra']} extra calls at the kills of batches, which had {total['most']} in flight"
    )
