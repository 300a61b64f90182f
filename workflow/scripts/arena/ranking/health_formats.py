"""Everything about the judges as plain data, for health.json, health.txt and the report."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from arena.ranking.agreement import LEVEL, Agreement
from arena.ranking.answer_health import AnswerHealth
from arena.ranking.judge_health import JudgeHealth
from arena.ranking.votes import Example

DIGITS = 4  # of numbers in health.json


@dataclass(frozen=True, slots=True)
class Health:
    """Everything about the judges of a bench; `answers` is None where no answer was read."""

    bench: str
    judges: list[JudgeHealth]
    agreement: list[Agreement]
    answers: AnswerHealth | None
    examples: Sequence[Example]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data with rounded numbers: the content of health.json."""
        return plain(asdict(self) | {"level": LEVEL})


def as_json(value: Any) -> str:
    """The text of a JSON file."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Plain data for JSON: rounded numbers, None where there is no number."""
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
