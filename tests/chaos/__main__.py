"""Break a run in every way we know, and count what is lost: python tests/chaos.

    python tests/chaos [--seeds 20] [--first 1] [--questions 60] [--keep FOLDER]

Each seed has Snakemake make the answers of three models (one whole, two adapters) and judge them
with the local profile, while a seeded schedule of faults strikes the calls and a hand kills the
batch, its server, the server's keeper and Snakemake itself and tears a journal. What failed or was
killed is started again by the same command (after `--unlock`). A seed in which a kind of fault
never fired does not count, and another is taken in its place. Exit status 1 if an answer or a game
was lost, doubled or differs from the undisturbed run, or that run from what is known beforehand.
"""

import argparse
import sys
import tempfile
from pathlib import Path

project = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(project), str(project / "workflow" / "scripts")]

from tests.chaos.checks import HEAD, disturbed, known_problems, summary, undisturbed  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many have to count")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument(
        "--questions", type=int, default=60, help="three answers and six games each"
    )
    parser.add_argument("--keep", type=Path, help="keep all files of the runs here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        folder = options.keep or Path(temporary)
        calm = undisturbed(folder, options.questions)
        if problems := known_problems(calm):
            sys.exit("\n".join(["The undisturbed run is wrong already:", *problems]))
        print(HEAD, flush=True)
        counted = []
        good, seed = True, options.first
        while len(counted) < options.seeds and seed < options.first + 3 * options.seeds:
            outcome = disturbed(calm, seed)
            print(outcome.row(seed), flush=True)
            good = good and outcome.is_good
            if not outcome.missing:
                counted.append(outcome)
            seed += 1
        print(summary(counted))
    return 0 if good and len(counted) == options.seeds else 1


if __name__ == "__main__":
    sys.exit(main())
