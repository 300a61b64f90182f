"""How votes are counted and intervals drawn."""

import math
from dataclasses import dataclass

from arena.data.verdict import RULES
from arena.support.errors import ConfigError

CI = ("questions", "upstream", "unanchored")
POOL = ("games", "votes")
RANKS = ("simultaneous", "marginal")
FEATURES = {"length": ("length",), "markdown": ("header", "list", "bold")}  # -> style columns
LEVELS = {"v2.0": 0.90, "v0.1": 0.95}  # of intervals, as in Arena-Hard-Auto
ROUNDS = 1000  # with Arena-Hard-Auto's 100, bounds have a noise of a tenth of the interval's width


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Settings of a leaderboard; the defaults are ours, not Arena-Hard-Auto's."""

    rule: str = "v2.0"
    weight: float = 3
    pool: str = POOL[0]  # with several judges, whether all games or all votes count the same
    rounds: int = ROUNDS
    seed: int = 42
    ci: str = CI[0]
    ranks: str = RANKS[0]
    control_features: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        chosen = [(self.rule, "rule", RULES), (self.ci, "ci", CI), (self.pool, "pool", POOL)]
        chosen += [(self.ranks, "ranks", RANKS)]
        chosen += [(name, "control_features", tuple(FEATURES)) for name in self.control_features]
        for value, key, known in chosen:
            if value not in known:
                raise ConfigError(f"{key}: {value!r} is not one of {', '.join(known)}")
        for key in ("weight", "rounds"):
            if not 0 < getattr(self, key) < math.inf:
                raise ConfigError(f"{key}: {getattr(self, key)} is not a positive number")
        if self.ci == "unanchored" and (self.rule != "v0.1" or self.control_features):
            raise ConfigError(
                "ci: unanchored needs rule v0.1 without style control; use upstream instead"
            )
        if self.seed < 0:
            raise ConfigError(f"seed: {self.seed} is negative; use a number from 0")

    @property
    def level(self) -> float:
        return LEVELS[self.rule]

    @property
    def paired(self) -> bool:
        """Whether differences use the questions that two models share.

        Style control and resampled votes give no scores per question, so there they use the scores.
        """
        return self.ci == "questions" and not self.control_features
