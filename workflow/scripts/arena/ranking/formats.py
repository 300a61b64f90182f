"""The leaderboard as text for terminals, Markdown and LaTeX (pandas tables), CSV and JSON."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from arena.ranking.curves import Point
from arena.ranking.leaderboard import Board, Row
from arena.ranking.options import Options
from arena.ranking.votes import OVERALL

if TYPE_CHECKING:
    from pandas import DataFrame

# The columns of leaderboard.csv: documented in docs/statistics.md, never renamed, only added to.
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
LEGENDS = {
    "simultaneous": "Rank: the places that the data allow, {level:.0%} sure of all models at once "
    "(max-t over all pairs). Group: neighbours that share a number cannot be told apart.",
    "marginal": "Rank: the places that the data allow by each pair alone ({level:.0%}); some of so "
    "many pairs are wrong. Group: neighbours that share a number cannot be told apart.",
}
# What Markdown reads as more than text; inside a word "_" is only that.
_MARKS = re.compile(r"[\\`*<>\[\]|&~]|(?<![^\W_])_|_(?![^\W_])")
_LATEX = {
    **{char: "\\" + char for char in "&%$#_{}"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{char: f"${char}$" for char in "<>|"},
    **{char: f"{{{char}}}" for char in "[*"},  # at the start of a row they would be options of \\
}
DIGITS = 4  # of numbers in files: published scores have 2, intervals are seeded


def as_text(boards: Sequence[Board], options: Options, heading: str, notes: Sequence[str]) -> str:
    """All tables as Arena-Hard-Auto prints them, with what each score rests on beside it."""
    parts = [f"NOTE: {note}" for note in notes]
    parts += [heading, legend(options)]
    for board in shown(boards):
        parts += [f"##### Category: {board.category} #####", _table(board).to_string()]
        parts += [*_power(board), *(f"NOTE: {note}" for note in board.notes)]
        if board.style and board.style.coefficients:
            parts.append(_style_table(board).to_string())
    return "\n\n".join(parts) + "\n"


def as_markdown(
    boards: Sequence[Board], options: Options, heading: str, notes: Sequence[str]
) -> str:
    """The same as Markdown tables."""
    parts = [f"> **Note:** {_escaped(note)}" for note in notes]
    parts += [_escaped(heading), _escaped(legend(options))]
    for board in shown(boards):
        parts += [f"## {_escaped(board.category)}", _markdown(_table(board))]
        parts += [*_power(board), *(f"> {_escaped(note)}" for note in board.notes)]
        if board.style and board.style.coefficients:
            parts.append(_markdown(_style_table(board)))
    return "\n\n".join(parts) + "\n"


def as_latex(boards: Sequence[Board], options: Options, heading: str, notes: Sequence[str]) -> str:
    """The same for a paper: a table a category, for a preamble with \\usepackage{booktabs}."""
    lines = (heading, legend(options), *notes)
    parts = [f"% {' '.join(line.splitlines())}" for line in lines]
    ranks = legend(options).partition(" Group:")[0]
    about = f"mean vote in percent with {options.level:.0%} intervals. {ranks}"
    for board in filter(lambda board: board.rows, shown(boards)):
        table = _table(board).drop(columns=["Group", "Games"]).map(_latex)
        table["CI (%)"] = [
            f"$_{{-{row.score - row.lower:.1f}}}^{{+{row.upper - row.score:.1f}}}$"
            if math.isfinite(row.lower) and not row.is_baseline
            else "-"
            for row in board.rows
        ]
        table["Rank"] = [rank_text(row).replace("-", "--") for row in board.rows]
        for name in ("won", "tied", "lost"):
            table[name.title()] = [
                "-" if r.is_baseline else str(getattr(r, name)) for r in board.rows
            ]
        parts += [f"% {' '.join(line.splitlines())}" for line in (*_power(board), *board.notes)]
        parts.append(
            table.rename(columns=_latex).to_latex(
                index=False,
                column_format="l" + "r" * (table.shape[1] - 1),
                caption=_latex(f"{board.category}: {about}"),
                label=f"tab:{re.sub(r'[^A-Za-z0-9]+', '-', board.category)}",
            )
        )
    return "\n".join(parts)


def legend(options: Options) -> str:
    """What the columns mean, by the way in which the ranks were made."""
    return LEGENDS[options.ranks].format(level=options.level)


def as_csv(boards: Sequence[Board]) -> str:
    """One line a model and category; `overall` is always there."""
    return csv_text(CSV_COLUMNS, _rows(boards))


def differences_csv(boards: Sequence[Board]) -> str:
    """One line a pair of models and category, the better one first."""
    return csv_text(DIFFERENCE_COLUMNS, [rounded(pair) for pair in _pairs(boards)])


def curves_csv(points: Sequence[Point]) -> str:
    """One line a checkpoint and category, by run and step."""
    rows = [
        {"category": point.category, "run": point.run, "step": f"{point.step:.15g}"}
        | rounded(asdict(point.row))
        for point in points
    ]
    return csv_text(CURVE_COLUMNS, rows)


def csv_text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; other keys are left out, None is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def differences_text(boards: Sequence[Board], models: Sequence[str]) -> str:
    """The pairs among `models`, and whether the data tell them apart."""
    rows = [
        {
            "Category": pair["category"],
            "Model": pair["model"],
            "Other": pair["other"],
            "Difference": "-" if pair["difference"] is None else f"{pair['difference']:+.1f}",
            "CI": "-" if pair["lower"] is None else f"({pair['lower']:+.1f}, {pair['upper']:+.1f})",
            "Questions": pair["questions"],
            "p": "-" if pair["p"] is None else f"{pair['p']:.2g}",
            "Adjusted": "-" if pair["p_adjusted"] is None else f"{pair['p_adjusted']:.2g}",
            "Told apart": pair["told_apart"],
        }
        for pair in map(rounded, _pairs(shown(boards)))
        if pair["model"] in models and pair["other"] in models
    ]
    return _frame(rows).to_string(index=False) + "\n" if rows else ""


def as_json(
    boards: Sequence[Board], options: Options, about: Mapping[str, Any], notes: Sequence[str]
) -> str:
    """Everything, for programs: settings, flat rows, groups, style coefficients, notes."""
    document = {
        **about,
        **asdict(options),
        "level": options.level,
        "notes": list(notes),
        "rows": _rows(boards),
        "categories": {
            board.category: {
                "baseline": board.baseline,
                "questions": board.questions,
                "detectable": _detectable(board),
                "groups": board.groups,
                "style": [rounded(asdict(one)) for one in board.style.coefficients]
                if board.style
                else None,
                "notes": board.notes,
            }
            for board in boards
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with as many digits as files get; None where there is no number."""
    return {
        key: _digits(key, value) if isinstance(value, float) else value
        for key, value in values.items()
    }


def _digits(key: str, value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return float(f"{value:.3g}") if key in ("p", "p_adjusted") else round(value, DIGITS)


def interval_text(row: Row) -> str:
    """`(-1.9 / +2.4)`: how far the interval reaches below and above the score."""
    if not math.isfinite(row.lower):
        return "-"
    return f"(-{max(row.score - row.lower, 0):.1f} / +{max(row.upper - row.score, 0):.1f})"


def rank_text(row: Row) -> str:
    """`3` or `3-5`: the ranks that the data allow."""
    return "-" if row.best_rank is None else _span(row.best_rank, row.worst_rank)


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def group_texts(board: Board) -> dict[str, str]:
    """Model -> `2` or `2-3`: the numbers of its groups, which follow one another."""
    numbers: dict[str, list[int]] = {}
    for number, group in enumerate(board.groups, 1):
        for model in group:
            numbers.setdefault(model, []).append(number)
    return {model: _span(places[0], places[-1]) for model, places in numbers.items()}


def _rows(boards: Sequence[Board]) -> list[dict[str, Any]]:
    return [
        {"category": board.category, **rounded(asdict(row))}
        for board in boards
        for row in board.rows
    ]


def _pairs(boards: Sequence[Board]) -> Iterator[dict[str, Any]]:
    for board in boards:
        found = board.differences
        for i, row in enumerate(board.rows):
            for j in range(i + 1, len(board.rows)):
                yield {
                    "category": board.category,
                    "model": row.model,
                    "other": board.rows[j].model,
                    "difference": float(found.difference[i, j]),
                    "lower": float(found.lower[i, j]),
                    "upper": float(found.upper[i, j]),
                    "questions": int(found.questions[i, j]),
                    "p": float(found.p[i, j]),
                    "p_adjusted": float(found.p_adjusted[i, j]),
                    "told_apart": "yes" if found.better[i, j] or found.better[j, i] else "no",
                }


def shown(boards: Sequence[Board]) -> list[Board]:
    """With one category, its table says all that the overall one would."""
    return [board for board in boards if board.category != OVERALL or len(boards) > 2]


def _table(board: Board) -> "DataFrame":
    """The table of a category as it is read, its cells as text, numbered from 1."""
    groups = group_texts(board)
    rows = [
        {
            "Model": row.model + (" (baseline)" if row.is_baseline and row.model[0] != "(" else ""),
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
    if all(row.avg_tokens is None for row in board.rows):  # nobody asked for them
        rows = [{name: cell for name, cell in row.items() if name != "Tokens"} for row in rows]
    return _frame(rows, index=range(1, len(rows) + 1))


def _detectable(board: Board) -> dict[str, float] | None:
    """The smallest difference that can be told, of a pair by itself and among all pairs."""
    found = board.differences.detectable
    return found and rounded(dict(zip(("pair", "all_pairs"), found, strict=True)))


def _power(board: Board) -> Iterator[str]:
    """What so many questions can tell, in one line."""
    found = _detectable(board)
    effects = [row.design_effect for row in board.rows if row.design_effect is not None]
    if found and effects:
        yield (
            f"A true difference of {found['pair']:.1f} points is found in 4 of 5 campaigns of "
            f"{board.questions} questions where two models are compared, one of "
            f"{found['all_pairs']:.1f} points where all are. Design effect (median): "
            f"{median(effects):.1f} times the variance of as many independent votes."
        )


def _latex(text: str) -> str:
    """Strangers' text as LaTeX that shows it as it is, in one line."""
    return "".join(_LATEX.get(char, char) for char in " ".join(text.splitlines()))


def _style_table(board: Board) -> "DataFrame":
    rows = {
        one.column: [f"{one.value:+.3f}", f"({one.lower:+.3f}, {one.upper:+.3f})"]
        for one in board.style.coefficients
    }
    return _frame(list(rows.values()), index=list(rows), columns=["Coefficient", "CI"])


def _frame(rows: Sequence[Any], **options: Any) -> "DataFrame":
    import pandas  # here: half a second that health and the report's pages need not wait

    return pandas.DataFrame(rows, **options)


def _markdown(table: "DataFrame") -> str:
    """The table in Markdown."""
    escaped = table.map(_escaped)
    sides = ["right", *("left" if name == "Model" else "right" for name in table.columns)]
    return escaped.to_markdown(colalign=sides, disable_numparse=True)


def _escaped(text: str) -> str:
    """Strangers' text, such as a model's name, as Markdown that shows it as it is, in one line."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.splitlines()))
