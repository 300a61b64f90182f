"""Fail where too few games have a verdict for a table to mean anything: rule enough_verdicts.

    python workflow/scripts/enough_verdicts.py RESULTS/health.json

The tables stay: a rule that fails loses its own outputs only.
"""

import json
import sys
from pathlib import Path

MOST_SILENT = 0.5  # of the games; published tables have about 1 in 100


def main(path: Path) -> int:
    judges = json.loads(path.read_text(encoding="utf-8"))["judges"]
    games = sum(judge["games"] for judge in judges)
    verdicts = sum(judge["states"].get("ok", 0) for judge in judges)
    if games and verdicts >= (1 - MOST_SILENT) * games:
        return 0
    print(
        f"{games - verdicts:,} of {games:,} games have no verdict, so that the leaderboard means "
        f"little. The replies are in report/games.html beside {path}, and health.txt counts how "
        "they ended: compare judge.patterns, the prompts and judge.max_tokens with them. When they "
        "are right, `journal.py compact --reopen unparsed` has the games asked again",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
