#!/usr/bin/env python
"""Write a page of games to look at: question, answers, the judge's replies and verdicts.

    python workflow/scripts/show_games.py --data-dir data -b arena-hard-v2.0 -j JUDGE \
        --out games.html

Of each model a seeded sample; all games of one model: --models MODEL --each all.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from arena.data.verdict import default_rule
from arena.pages.games_page import CHARS, games_page
from arena.ranking.command import command, run_command, run_rule, sources_of
from arena.ranking.game_pairs import find_pairs
from arena.ranking.show_result import TOY_NOTE, Sources
from arena.support.jsonl import write_atomic

EVERYTHING = 1_000_000  # characters of a text where all games of a model are asked for


def main(argv: list[str] | None = None) -> int:
    parser = command(__doc__)
    add = parser.add_argument
    add("--each", type=_each, default=1, help="pairs of every kind of each model, or: all")
    add("--questions", type=Path, help="question file, where it is not beside the answers")
    add("--out", type=Path, default=Path("games.html"), help="the page")
    args = vars(parser.parse_args(argv))
    out, questions = args.pop("out"), args.pop("questions")

    def work() -> None:
        write_atomic(out, make_page(sources_of(args), questions, **args))
        print(out)

    return run_command("show_games", work)


def make_page(
    sources: Sources,
    questions: Path | None = None,
    *,
    rule: str | None = None,
    each: int | None = 1,
    seed: int = 42,
    toy: bool = False,
    notes: list[str] | tuple[str, ...] = (),
    **options: Any,
) -> str:
    chosen = {key: options[key] for key in ("patterns", "baselines") if key in options}
    rule = rule or default_rule(sources.bench)
    pairs = find_pairs(sources, rule=rule, each=each, seed=seed, **chosen)
    files = {pair.baseline: pair.baseline for pair in pairs if pair.baseline}
    files |= {pair.model: pair.file for pair in pairs}
    what = "all games" if each is None else f"a sample of each model's games, seed {seed}"
    return games_page(
        pairs,
        questions or sources.answers_dir.parent / "question.jsonl",
        {name: sources.answers_dir / f"{file}.jsonl" for name, file in files.items()},
        f"{sources.bench}, judge {' + '.join(sources.judgments)}; {what}",
        [*([TOY_NOTE] if toy else []), *notes],
        EVERYTHING if each is None else CHARS,
    )


def _each(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a positive number nor: all")
    return int(text)


def for_rule(rule: Any, sources: Sources, options: dict[str, Any]) -> str:
    write_atomic(rule.output[0], make_page(sources, Path(rule.params.questions), **options))
    return f"{rule.output[0]}\n"


if "snakemake" in globals():
    sys.exit(run_rule(snakemake, lambda *given: for_rule(snakemake, *given)))
if __name__ == "__main__":
    sys.exit(main())
