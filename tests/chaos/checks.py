"""What must hold after a chaos run, and the line of figures that it leaves."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from arena.journals.compact import check
from arena.journals.journal import read_records

from tests.chaos import known
from tests.chaos.bench import MODELS, PARALLEL, Bench
from tests.chaos.run import NEEDED, Chaos, Told, read_pairs
from tests.workflow.conftest import read_lines

HEAD = (
    "seed   games  calls  faults  retried  vanished  lost  double  differ  extra of most  seconds"
)


@dataclass(frozen=True)
class Outcome:
    """One seed. Calls = games + retried + vanished + torn + extra.

    unequal: what differs between the runs besides games.
    """

    told: Told
    games: int
    lost: int
    doubled: int
    differing: int
    unequal: list[str]

    @property
    def retried(self) -> int:
        """Calls that were struck by a fault, or answered by a dead engine."""
        return self.told.struck.total() + self.told.failed.total()

    @property
    def vanished(self) -> int:
        """Calls in flight at the end of a judge, which had `told.lives`."""
        return len(self.told.calls) - self.told.replies.total() - self.retried

    @property
    def extra(self) -> int:
        """Replies that can only have been in flight at a kill of the batch or of Snakemake."""
        return self.told.replies.total() - self.games - self.told.torn

    @property
    def most(self) -> int:
        """How many were in flight at these kills."""
        return sum(self.told.kills)

    @property
    def missing(self) -> set[str]:
        """Kinds of faults that never fired; such a seed does not count."""
        return NEEDED - set(self.told.faults)

    @property
    def is_good(self) -> bool:
        wrong = self.lost or self.doubled or self.differing or self.unequal or self.told.left
        vanished = 0 <= self.vanished <= self.told.lives * PARALLEL
        return not wrong and vanished and 0 <= self.extra <= self.most

    def row(self, seed: int) -> str:
        state = "ok" if self.is_good else f"BAD {self.unequal + self.told.left}"
        if self.missing:
            state += f" (does not count: no {', '.join(sorted(self.missing))})"
        told = self.told
        return (
            f"{seed:4}  {self.games:6} {len(told.calls):6}  {told.faults.total():6}  "
            f"{self.retried:7}  {self.vanished:8}  {self.lost:4}  {self.doubled:6}  "
            f"{self.differing:6}  {self.extra:5} of {self.most:4}  {told.seconds:7.0f}  {state}"
        )


def undisturbed(folder: Path, questions: int) -> Bench:
    """Write the bench and play it once in peace."""
    calm = Bench(folder / "data", folder / "calm", questions)
    calm.write()
    Chaos(calm, 0, faults=False).play()
    return calm


def disturbed(calm: Bench, seed: int) -> Outcome:
    """Play the same bench with the faults of a seed, and compare."""
    stormy = Bench(calm.data, calm.run.with_name(f"seed-{seed}"), calm.questions)
    return examine(calm, stormy, Chaos(stormy, seed, faults=True).play())


def examine(calm: Bench, stormy: Bench, told: Told) -> Outcome:
    """Compare a disturbed run with the undisturbed one, and its calls with the judge's logs."""
    games = lost = doubled = differing = 0
    unequal = []
    if calm.leaderboard.read_bytes() != stormy.leaderboard.read_bytes():
        unequal.append("another leaderboard")
    for model in MODELS:
        before, after = results(calm, model), results(stormy, model)
        games += len(before)
        lost += len(before.keys() - after.keys())
        doubled += sum(len(found) - 1 for found in after.values())
        differing += sum(after.get(key, found) != found for key, found in before.items())
        if without_times(calm, model) != without_times(stormy, model):
            unequal.append(f"{model}: other bytes")
    unequal += journal_problems(stormy)
    return Outcome(told, games, lost, doubled, differing, unequal)


def known_problems(calm: Bench) -> list[str]:
    """Where an undisturbed run differs from what is known beforehand."""
    found = journal_problems(calm)
    calls = Counter(prompt for _, prompt in read_pairs(calm.run / "calls"))
    for journal, prompts in calm.prompts().items():
        if more := sum(calls[prompt] - 1 for prompt in prompts):
            found.append(f"{journal}: {more} calls more than games")
    table = dict(pd.read_csv(calm.leaderboard)[["model", "score"]].itertuples(index=False))
    for model in MODELS:
        expected, pairs = {}, []
        for line in read_lines(calm.data / "chaos/question.jsonl"):
            uid, question = line["uid"], line["prompt"]
            theirs, ours = known.answer("base", question), known.answer(model, question)
            expected[uid, "answer"] = [(model, ours)]
            games = [known.verdict(question, theirs, ours), known.verdict(question, ours, theirs)]
            expected |= {(uid, index): [game] for index, game in enumerate(games)}
            pairs.append((games[0][1], games[1][1]))
        there = results(calm, model)
        keys = expected.keys() | there.keys()
        wrong = {key: there.get(key) for key in keys if expected.get(key) != there.get(key)}
        if wrong or len(expected) != 3 * calm.questions:
            some = dict(sorted(wrong.items(), key=str)[:3])
            found.append(f"{model}: {len(wrong)} not the known answers and verdicts: {some}")
        if abs(table[model] - known.score(pairs)) > 0.0001:
            found.append(f"{model}: score {table[model]}, known: {known.score(pairs):.3f}")
    return found


def journal_problems(bench: Bench) -> list[str]:
    """Unless each journal holds each answer or game exactly once, and nothing else."""
    found = []
    for journal, prompts in bench.prompts().items():
        held = Counter((record.uid, record.game) for record in read_records(journal))
        planned = Counter(prompts.values())
        found += check(journal)[0][1:]
        if missing := planned - held:
            found.append(f"{journal}: {missing.total()} games are missing")
        if more := held - planned:
            found.append(f"{journal}: {more.total()} lines too many")
    return found


def results(bench: Bench, model: str) -> dict[tuple[str, Any], list]:
    """(uid, index) -> the scores, and (uid, "answer") -> the answers under that key: exactly one
    where nothing is doubled."""
    found: dict[tuple[str, Any], list] = {}
    for line in read_lines(bench.answers(model)):
        answer = line["messages"][-1]["content"]["answer"]
        found.setdefault((line["uid"], "answer"), []).append((line["model"], answer))
    for line in read_lines(bench.output(model)):
        for index, game in enumerate(line["games"]):
            found.setdefault((line["uid"], index), []).append((game["state"], game["score"]))
    return found


def without_times(bench: Bench, model: str) -> bytes:
    """The bytes of a model's answers and judgments, once times are dropped."""
    lines = read_lines(bench.output(model))
    for game in (game for line in lines for game in line["games"]):
        del game["seconds"]
    lines += read_lines(bench.answers(model))
    for line in lines:
        line.pop("tstamp", None)
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()


def summary(outcomes: list[Outcome]) -> str:
    """One line over all seeds that count."""
    total = Counter()
    for outcome in outcomes:
        total["faults"] += outcome.told.faults.total()
        kills = (n for kind, n in outcome.told.faults.items() if "snakemake" in kind)
        total["kills"] += sum(kills)
        for name in ("games", "lost", "doubled", "differing", "extra", "most"):
            total[name] += getattr(outcome, name)
    return (
        f"{len(outcomes)} seeds, {total['games']:,} games, {total['faults']:,} faults, "
        f"{total['kills']} kills of Snakemake that left a batch behind: "
        f"{total['lost']} lost, {total['doubled']} doubled, {total['differing']} differing; "
        f"{total['extra']} extra calls at the kills of batches, which had {total['most']} in flight"
    )
