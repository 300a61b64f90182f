"""Where judgments are, as options of a command: the same for show_result and judge_health."""

import argparse
from pathlib import Path


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where judgments and answers are, and which of them to read."""
    add = parser.add_argument
    add("--data-dir", type=Path, default=Path("data"), help="folder of the benches")
    add("--judgments-dir", type=Path, help="folder with a folder a judge, where it is elsewhere")
    add("--answers-dir", type=Path, help="folder of the answers, where it is elsewhere")
    add("--models", nargs="*", default=[], help="only these; * and ? stand for any text")
    add("--baselines", "--baseline", nargs="*", default=[], help="only judgments against these")
