"""Common parts of show_result, judge_health and show_games, as commands and as rules."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from arena.data.verdict import RULES
from arena.ranking.show_result import Sources
from arena.support.cli import run_command
from arena.support.errors import ArenaError


def command(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options for what to read and how to count votes.

    An option that is not given is left out, so that the default of the library counts.
    """
    about, _, example = (doc or "").partition("\n")  # Snakemake leaves a script no docstring
    parser = argparse.ArgumentParser(
        description=about,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("-b", "--bench", "--benchmark", required=True, help="a folder in --data-dir")
    names, judges = ("--judges", "--judge", "--judge-names"), "the votes of several are pooled"
    add("-j", *names, nargs="+", required=True, metavar="JUDGE", help=judges)
    add("--data-dir", type=Path, help="folder with one folder per bench (default: data)")
    default = "default: <data-dir>/<bench>"
    judgments = f"folder with one folder per judge ({default}/model_judgment)"
    add("--judgments-dir", type=Path, help=judgments)
    add("--answers-dir", type=Path, help=f"folder of the answers ({default}/model_answer)")
    add("--models", nargs="*", help="only these models; * and ? are wildcards")
    add("--baselines", "--baseline", nargs="*", help="only judgments against these")
    add("--rule", choices=RULES, help="default: v0.1 for the bench arena-hard-v0.1, else v2.0")
    add("--weight", type=float, help="number of votes of a strong verdict (default: 3)")
    add("--seed", type=int, help="seed of the resampling (default: 42)")
    patterns = "patterns of verdicts, for games without a stored score (default: Arena-Hard-Auto's)"
    add("--patterns", nargs="+", metavar="REGEX", help=patterns)
    add("--note", dest="notes", action="append", help="note to show above the tables")
    return parser


def run(
    name: str,
    parser: argparse.ArgumentParser,
    work: Callable[[Sources, dict[str, Any], Any], str],
    argv: Sequence[str] | None = None,
    rule: Any = None,
) -> int:
    """Run a command, or a rule on the judgments of its models, which need not be all of a folder.

    `work` gets the files, the options and the folder of the outputs; it writes them and returns
    the text for the screen or the rule's log.
    """
    if rule is None:
        options = vars(parser.parse_args(argv))
        names = ("bench", "judges", "data_dir", "judgments_dir", "answers_dir", "models")
        find = {name: options.pop(name) for name in names if name in options}
        out = options.pop("out", None)
        return run_command(name, lambda: print(work(Sources.find(**find), options, out), end=""))
    places = dict(rule.params.places)
    folder = places.pop("judgments_dir")
    files = [folder / f"{model}.jsonl" for model in rule.params.models]
    judgments = {places.pop("judge"): files}
    sources = Sources(judgments=judgments, **places)
    with Path(rule.log[0]).open("w", encoding="utf-8") as log:
        try:
            log.write(work(sources, dict(rule.params.options), Path(rule.output[0]).parent))
        except ArenaError as error:
            log.write(f"{name}: {error}\n")
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0
