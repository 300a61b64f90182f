"""The two runs that are compared: one in peace, one in which everything breaks."""

from pathlib import Path

from tests.chaos.bench import Bench
from tests.chaos.checks import Outcome, examine
from tests.chaos.run import Chaos


def undisturbed(folder: Path, questions: int) -> Bench:
    """Write the bench and play it once in peace."""
    calm = Bench(folder / "data", folder / "calm", questions)
    calm.write()
    Chaos(calm, 0, faults=False).play()
    return calm


def disturbed(calm: Bench, seed: int) -> Outcome:
    """Play the same bench with the faults of a seed, and compare."""
    stormy = Bench(calm.data, calm.run.with_name(f"seed-{seed}"), calm.questions)
    told = Chaos(stormy, seed, faults=True).play()
    return examine(calm, stormy, told)
