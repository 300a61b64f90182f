"""Duration of one refresh of the monitor, compared with just reading the journals.

    python benchmarks/monitor_speed.py [--models 117] [--questions 500] [--repeats 3]

Writes journals of two games per question with replies of 2 kB, then measures `monitor.py`, and in
one process its first refresh and a second one after one more game.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

from arena.campaign.status import Campaign, StatusReader
from arena.data.layout import Layout

from tests.synthetic import journal_line, write_journal

MONITOR = Path(__file__).resolve().parents[1] / "workflow" / "scripts" / "monitor.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=117)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lines = [journal_line(q, game) for q in range(args.questions) for game in (0, 1)]
        journals = [write_journal(root, f"m{number}", lines) for number in range(args.models)]
        size = sum(path.stat().st_size for path in journals) / 1e6
        print(f"{args.models} models x {len(lines)} games, {size:.0f} MB of journals\n")
        command = [sys.executable, str(MONITOR), "--results", root]

        def second_refresh() -> None:
            with journals[0].open("a") as file:
                file.write(journal_line(args.questions, 0))
            reader.read()

        campaign = Campaign(Layout(root))
        reader = StatusReader(campaign)
        reader.read()
        ways: dict[str, Callable[[], object]] = {
            "reading the lines": lambda: [sum(1 for _ in path.open("rb")) for path in journals],
            "monitor.py": lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL),
            "  its first refresh": lambda: StatusReader(campaign).read(),
            "  its second refresh": second_refresh,
        }
        unit = None
        print(f"{'':<20}{'seconds':>9}{'ratio':>8}")
        for name, way in ways.items():
            seconds = statistics.median(timed(way) for _ in range(args.repeats))
            unit = unit or seconds
            print(f"{name:<20}{seconds:>9.2f}{seconds / unit:>8.1f}")


def timed(way: Callable[[], object]) -> float:
    begun = time.perf_counter()
    way()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
