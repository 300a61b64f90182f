"""Fail if too few games have a verdict for the leaderboard to be meaningful: rule enough_verdicts.

    python workflow/scripts/enough_verdicts.py RESULTS/health.json

The tables stay: a failing rule loses only its own outputs.
"""

import json
import sys
from pathlib import Path

LEAST_VERDICTS = 0.5  # of the games; in the published tables about 0.99 have one


def main(path: Path) -> None:
    judges = json.loads(path.read_text(encoding="utf-8"))["judges"]
    games = sum(judge["games"] for judge in judges)
    verdicts = sum(judge["states"].get("ok", 0) for judge in judges)
    if not games or verdicts < LEAST_VERDICTS * games:
        sys.exit(
            f"{games - verdicts:,} of {games:,} games have no verdict, so the leaderboard means "
            f"little. health.txt beside {path} counts the causes and report/games.html shows the "
            "replies: check judge.patterns, the prompts and judge.max_tokens. After a correction, "
            "`journal.py compact --reopen unparsed` makes the next run ask these games again"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
