"""The leaderboard's files: text for terminals, Markdown, LaTeX, CSV and JSON."""

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from pandas import DataFrame

from arena.pages.health_page import judges_page
from arena.pages.html import interval, span
from arena.ranking.leaderboard import Board, Point, Row, shown, title
from arena.ranking.show_result import TOY_NOTE, Result, as_json, plain
from arena.ranking.votes import Options
from arena.support.errors import DataError
from arena.support.humanize import csv_cell, listing, printable
from arena.support.jsonl import write_atomic
from arena.support.names import did_you_mean, in_order
from arena.support.table import lay_out

# Columns are documented in docs/statistics.md; new ones may be added, but none is ever renamed.
CSV_COLUMNS = (
    *("category", "model", "score", "lower", "upper", "questions", "games"),
    *("best_rank", "worst_rank", "won", "tied", "lost", "avg_tokens", "design_effect"),
    *("plain_score", "is_plain"),
)
DIFFERENCE_COLUMNS = (
    *("category", "model", "other", "difference", "lower", "upper", "questions"),
    *("p", "p_adjusted", "told_apart"),
)
CURVE_COLUMNS = ("category", "run", "step", "model", "score", "lower", "upper", "questions")
RANKS = {
    "simultaneous": "range that is consistent with the data, for all models at once ({:.0%}, max-t "
    "over all pairs).",
    "marginal": "range that is consistent with the data, each pair tested separately ({:.0%}); "
    "with many pairs some results are wrong.",
}
GROUPS = "Group: models that share a number are not significantly different."
DRAWN = {
    "questions": "questions",
    "upstream": "single votes (as upstream)",
    "unanchored": "single votes (as upstream, unanchored)",
}
HEADING = (
    "{bench}, judge {judges}, rule {rule}, a strong verdict counts {weight:g} votes; {level:.0%} "
    "intervals from {rounds} resamples of {drawn}, seed {seed}"
)
POWER = (
    "Smallest detectable difference with {questions} questions (significant in 4 of 5 campaigns): "
    "{detectable[pair]:.1f} points for a single pair of models, {detectable[all_pairs]:.1f} points "
    "for all pairs at once."
)
AGAINST = {  # row of the table -> key of `compare_rankings`
    "Models in both": "models",
    "Pairs": "pairs",
    "Separability": "separability",
    "Separability of the other": "other_separability",
    "Agreement with confidence": "agreement",
    "  where both separate": "agreement_where_separated",
    "Brier score of pairs": "brier",
    "Spearman": "spearman",
    "Kendall": "kendall",
}
# Markup of Markdown; "_" inside a word is none.
_MARKS = re.compile(r"[\\`*<>\[\]|&~]|(?<![^\W_])_|_(?![^\W_])")
_LATEX = {
    **{char: "\\" + char for char in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{char: f"${char}$" for char in "<>|"},
    **{char: f"{{{char}}}" for char in "[*"},  # options of \\ at the start of a row
}


def files(result: Result) -> dict[str, str]:
    """File name -> its text."""
    texts = {
        "leaderboard.txt": as_text(result),
        "leaderboard.md": as_markdown(result),
        "leaderboard.tex": as_latex(result),
        "leaderboard.csv": csv_text(CSV_COLUMNS, _rows(result.boards)),
        "leaderboard.json": as_json(_document(result)),
        "differences.csv": csv_text(DIFFERENCE_COLUMNS, _pairs(result.boards)),
    }
    if result.curves is not None:
        texts["curves.csv"] = csv_text(CURVE_COLUMNS, map(_point, result.curves))
    if result.against:
        texts["against.json"] = as_json(plain(result.against))
    if result.judges:
        texts |= {"judges.csv": judges_csv(result.judges), "judges.json": as_json(result.judges)}
    return texts


def write(result: Result, folder: Path) -> None:
    for name, text in files(result).items():
        write_atomic(folder / name, text)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; ignores other keys, None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def judges_csv(found: Mapping[str, Any]) -> str:
    """A row per model and category, with score, lower and upper bound of each judge."""
    ends = {"": "value", " lower": "lower", " upper": "upper"}
    rows = [
        row | {judge + end: one[key] for judge, one in own.items() for end, key in ends.items()}
        for row in found["scores"]
        if (own := row["by_judge"])
    ]
    names = [judge + end for judge in found["judges"] for end in ends]
    return csv_text(["category", "model", "pooled", "mean", *names], rows)


def as_text(result: Result) -> str:
    """All tables in the format of Arena-Hard-Auto, with more columns."""
    parts = list(_parts(result, "NOTE: ", "##### Category: {} #####", str, DataFrame.to_string))
    parts += [judges_page(result.judges).text().rstrip("\n")] if result.judges else []
    parts += [against_text(result.against)] if result.against else []
    return printable("\n\n".join(parts)) + "\n"


def as_markdown(result: Result) -> str:
    return printable("\n\n".join(_parts(result, "> ", "## {}", _escaped, _markdown))) + "\n"


def _parts(
    result: Result,
    note: str,
    header: str,
    text: Callable[[str], str],
    table: Callable[[DataFrame], str],
) -> Iterator[str]:
    first = "> **Note:** " if note == "> " else note
    yield from (f"{first}{text(one)}" for one in result.notes)
    yield from (text(heading(settings(result))), f"{text(legend(result.options))} {GROUPS}")
    for board in shown(result.boards):
        yield from (header.format(text(board.category)), table(_table(board)), *_power(board))
        yield from (f"{note}{text(one)}" for one in board.notes)
        if board.style and board.style.coefficients:
            coefficients = {
                one.column: [f"{one.value:+.3f}", f"({one.lower:+.3f}, {one.upper:+.3f})"]
                for one in board.style.coefficients
            }
            columns = ["Coefficient", "CI"]
            yield table(DataFrame.from_dict(coefficients, orient="index", columns=columns))


def as_latex(result: Result) -> str:
    """One table per category for a paper with \\usepackage{booktabs}; notes are comments."""
    options, boards = result.options, [board for board in shown(result.boards) if board.rows]
    parts = [_comment(line) for line in (heading(settings(result)), *result.notes)]
    about = f"mean vote in percent with {options.level:.0%} intervals. {legend(options)}"
    for board in boards:
        table = _table(board).drop(columns=["Group", "Games"]).map(_latex)
        table["CI (%)"] = [
            "-" if row.is_baseline else interval_text(row, "$_{{-{:.1f}}}^{{+{:.1f}}}$")
            for row in board.rows
        ]
        table["Rank"] = [rank_text(row).replace("-", "--") for row in board.rows]
        for name in ("won", "tied", "lost"):
            table[name.title()] = [
                "-" if row.is_baseline else str(getattr(row, name)) for row in board.rows
            ]
        parts += map(_comment, (*_power(board), *board.notes))
        parts.append(
            table.rename(columns=_latex).to_latex(
                index=False,
                column_format="l" + "r" * (table.shape[1] - 1),
                caption=_latex(f"{board.category}: {about}"),
                label=f"tab:{re.sub(r'[^A-Za-z0-9]+', '-', board.category)}",
            )
        )
    return printable("\n".join(parts))


def settings(result: Result) -> dict[str, Any]:
    """How the numbers were computed, as in leaderboard.json."""
    return {
        **{"bench": result.bench, "judges": result.verdicts.judges},
        "toy": TOY_NOTE in result.notes,
        **asdict(result.options),
        "level": result.options.level,
        "notes": result.notes,
    }


def heading(settings: Mapping[str, Any]) -> str:
    """One line on how the numbers were computed; settings: as in leaderboard.json."""
    judges, drawn = " + ".join(settings["judges"]), DRAWN[settings["ci"]]
    features = ", ".join(settings["control_features"])
    style = f"; style control: {features}" if features else ""
    return HEADING.format_map({**settings, "judges": judges, "drawn": drawn}) + style


def legend(options: Options) -> str:
    return f"Rank: {RANKS[options.ranks].format(options.level)}"


def comparison(result: Result, models: Sequence[str]) -> str:
    """The differences between all pairs of `models` (none: of all models), as text."""
    known = {row.model for board in result.boards for row in board.rows}
    models = models or sorted(known, key=in_order)
    for model in models:
        if model not in known:
            raise DataError(f"--compare: no row for {model!r}{did_you_mean(model, known)}")
    rows = [
        {
            "Category": pair["category"],
            "Model": pair["model"],
            "Other": pair["other"],
            "Difference": _number(pair["difference"], "+.1f"),
            "CI": "-" if pair["lower"] is None else f"({pair['lower']:+.1f}, {pair['upper']:+.1f})",
            "Questions": pair["questions"],
            "p": _number(pair["p"], ".2g"),
            "p adjusted": _number(pair["p_adjusted"], ".2g"),
            "Significant": pair["told_apart"],
        }
        for pair in _pairs(shown(result.boards))
        if pair["model"] in models and pair["other"] in models
    ]
    return printable(DataFrame(rows).to_string(index=False)) + "\n" if rows else ""


def against_text(found: Sequence[Mapping[str, Any]]) -> str:
    """The comparison with another ranking, one column per category."""
    other = found[0]["other"]
    cells = [["", *(one["category"] for one in found)]]
    cells += [[name, *(_measure(one[key]) for one in found)] for name, key in AGAINST.items()]
    text = "\n".join([f"Against {other}", "", *lay_out(cells)])
    if unknown := dict.fromkeys(model for one in found for model in one["unknown"]):
        text += f"\n\nNOTE: left out, because not in {other}: {', '.join(unknown)}"
    if unmatched := found[0]["unmatched"]:
        text += f"\n\nNOTE: in {other} but not in this leaderboard: {listing(unmatched)}"
    return text


def _measure(value: Any) -> str:
    if isinstance(value, Mapping):
        return interval(value).text
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"


def _document(result: Result) -> dict[str, Any]:
    """The content of leaderboard.json."""
    return {
        **settings(result),
        "rows": _rows(result.boards),
        "categories": {
            board.category: {
                "baseline": board.baseline,
                "questions": board.questions,
                "detectable": _detectable(board),
                "groups": board.groups,
                "style": board.style and plain(board.style.coefficients),
                "notes": board.notes,
            }
            for board in result.boards
        },
    }


def interval_text(row: Row, style: str = "(-{:.1f} / +{:.1f})") -> str:
    """`(-1.9 / +2.4)`: the bounds relative to the score."""
    below, above = max(row.score - row.lower, 0), max(row.upper - row.score, 0)
    return style.format(below, above) if math.isfinite(row.lower) else "-"


def rank_text(row: Row) -> str:
    """`3` or `3-5`."""
    return span(row.best_rank, row.worst_rank, "-")


def _rows(boards: Sequence[Board]) -> list[dict[str, Any]]:
    return [{"category": board.category, **row} for board in boards for row in plain(board.rows)]


def _point(point: Point) -> dict[str, Any]:
    return plain(asdict(point) | asdict(point.row)) | {"step": f"{point.step:.15g}"}


def _pairs(boards: Sequence[Board]) -> Iterator[dict[str, Any]]:
    """All pairs of models by category, the better model first; None for NaN."""
    keys = ("difference", "lower", "upper", "questions")
    for board in boards:
        found = board.differences
        for i, row in enumerate(board.rows):
            after = slice(i + 1, None)
            values = plain([getattr(found, key)[i, after].tolist() for key in keys])
            for j, *known in zip(range(i + 1, len(board.rows)), *values, strict=True):
                p, adjusted = found.p[i, j], found.p_adjusted[i, j]
                yield {
                    **{"category": board.category, "model": row.model},
                    "other": board.rows[j].model,
                    **dict(zip(keys, known, strict=True)),
                    "p": float(f"{p:.3g}") if math.isfinite(p) else None,
                    "p_adjusted": float(f"{adjusted:.3g}") if math.isfinite(adjusted) else None,
                    "told_apart": "yes" if found.better[i, j] or found.better[j, i] else "no",
                }


def _table(board: Board) -> DataFrame:
    """The table of a category, all cells as text, rows numbered from 1."""
    numbers = defaultdict[str, list[int]](list)  # model -> its groups, which are consecutive
    for number, group in enumerate(board.groups, 1):
        for model in group:
            numbers[model].append(number)
    groups = {model: span(places[0], places[-1], "-") for model, places in numbers.items()}
    cells = [
        {
            "Model": title(row.model, row.is_baseline),
            "Scores (%)": f"{row.score:.1f}{'*' * row.is_plain}",
            "CI (%)": interval_text(row),
            "Rank": rank_text(row),
            "Group": groups.get(row.model, "-"),
            "Questions": "-" if row.is_baseline else str(row.questions),
            "Games": "-" if row.is_baseline else str(row.games),
            "Tokens": "-" if row.avg_tokens is None else str(int(row.avg_tokens)),  # as v0.1
        }
        for row in board.rows
    ]
    table = DataFrame(cells, index=range(1, len(cells) + 1))
    has_tokens = any(row.avg_tokens is not None for row in board.rows)
    return table if has_tokens else table.drop(columns="Tokens", errors="ignore")


def _detectable(board: Board) -> dict[str, float] | None:
    found = board.differences.detectable
    return found and plain(dict(zip(("pair", "all_pairs"), found, strict=True)))


def _power(board: Board) -> Iterator[str]:
    """The smallest detectable difference and the design effect, in one line."""
    found = _detectable(board)
    effects = [row.design_effect for row in board.rows if row.design_effect is not None]
    if found and effects:
        power = POWER.format(detectable=found, questions=board.questions)
        effect = f"Design effect (median): {median(effects):.1f} times the variance"
        yield f"{power} {effect} of as many independent votes."


def _comment(line: str) -> str:
    return f"% {' '.join(line.splitlines())}"


def _latex(text: str) -> str:
    """Any text, such as a model's name, as LaTeX in one line."""
    return "".join(_LATEX.get(char, char) for char in printable(" ".join(text.splitlines())))


def _markdown(table: DataFrame) -> str:
    sides = ["right", *("left" if name == "Model" else "right" for name in table.columns)]
    return table.map(_escaped).to_markdown(colalign=sides, disable_numparse=True)


def _escaped(text: str) -> str:
    """Any text, such as a model's name, as Markdown in one line."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.splitlines()))
