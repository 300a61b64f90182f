from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    kind: str
    base: Path | None
    rank: int | None
    digest: str
    template: str | None
    is_unfinished: bool = False


def read_checkpoint(path, base=None):
    raise NotImplementedError


def allowed_rank(ranks):
    return 8


def same_weights(c):
    return []


def expand(n, p):
    return {}
