"""The leaderboard as text for terminals, Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from arena.curves import Point
from arena.leaderboard import OVERALL, Board, Options, Row

# The columns of leaderboard.csv: documented in docs/statistics.md, never renamed, only added to.
CSV_COLUMNS = ("category", "model", "score", "lower", "upper", "questions", "games")
DIFFERENCE_COLUMNS = ("category", "model", "other", "difference", "lower", "upper", "questions")
CURVE_COLUMNS = ("category", "run", "step", "model", "score", "lower", "upper", "questions")
DIGITS = 4  # of numbers in files: published scores have 2, intervals are seeded


def as_text(boards: Sequence[Board], heading: str, notes: Sequence[str]) -> str:
    """All tables as Arena-Hard-Auto prints them, with what each score rests on beside it."""
    parts = [f"NOTE: {note}" for note in notes]
    parts.append(heading)
    for board in _shown(boards):
        parts += [f"##### Category: {board.category} #####", text_table(_cells(board))]
        parts += [f"NOTE: {note}" for note in board.notes]
        if board.style and board.style.coefficients:
            parts.append(text_table(_style_cells(board)))
    return "\n\n".join(parts) + "\n"


def as_markdown(boards: Sequence[Board], heading: str, notes: Sequence[str]) -> str:
    """The same as Markdown tables."""
    parts = [f"> **Note:** {note}" for note in notes]
    parts.append(heading)
    for board in _shown(boards):
        parts += [f"## {board.category}", _markdown_table(_cells(board))]
        parts += [f"> {note}" for note in board.notes]
        if board.style and board.style.coefficients:
            parts.append(_markdown_table(_style_cells(board)))
    return "\n\n".join(parts) + "\n"


def as_csv(boards: Sequence[Board]) -> str:
    """One line a model and category; `overall` is always there."""
    rows = [
        {"category": board.category, **rounded(asdict(row))}
        for board in boards
        for row in board.rows
    ]
    return _csv(CSV_COLUMNS, rows)


def differences_csv(boards: Sequence[Board]) -> str:
    """One line a pair of models and category, the better one first."""
    return _csv(DIFFERENCE_COLUMNS, [rounded(pair) for pair in _pairs(boards)])


def differences_text(boards: Sequence[Board], models: Sequence[str]) -> str:
    """The pairs among `models`, and whether the data tell them apart."""
    header = ["Category", "Model", "Other", "Difference", "CI", "Questions", "Told apart"]
    cells = [
        [
            pair["category"],
            pair["model"],
            pair["other"],
            f"{pair['difference']:+.1f}",
            f"({pair['lower']:+.1f}, {pair['upper']:+.1f})",
            str(pair["questions"]),
            "yes" if pair["lower"] > 0 or pair["upper"] < 0 else "no",
        ]
        for pair in _pairs(_shown(boards))
        if pair["model"] in models and pair["other"] in models
    ]
    return text_table([header, *cells], left=3) + "\n"


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
                }


def as_json(
    boards: Sequence[Board], options: Options, about: Mapping[str, Any], notes: Sequence[str]
) -> str:
    """Everything, for programs: settings, flat rows, groups, style coefficients, notes."""
    document = {
        **about,
        **asdict(options),
        "level": options.level,
        "notes": list(notes),
        "rows": [
            {"category": board.category, **rounded(asdict(row))}
            for board in boards
            for row in board.rows
        ],
        "categories": {
            board.category: {
                "baseline": board.baseline,
                "questions": board.questions,
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


def curves_csv(points: Sequence[Point]) -> str:
    """One line a checkpoint and category, by run and step."""
    rows = [
        {"category": point.category, "run": point.run, "step": f"{point.step:g}"}
        | rounded(asdict(point.row))
        for point in points
    ]
    return _csv(CURVE_COLUMNS, rows)


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with as many digits as files get; None where there is no number."""
    return {
        key: (round(value, DIGITS) if math.isfinite(value) else None)
        if isinstance(value, float)
        else value
        for key, value in values.items()
    }


def interval_text(row: Row) -> str:
    """`(-1.9 / +2.4)`: how far the interval reaches below and above the score."""
    if not math.isfinite(row.lower):
        return "-"
    return f"(-{max(row.score - row.lower, 0):.1f} / +{max(row.upper - row.score, 0):.1f})"


def rank_text(row: Row) -> str:
    """`3` or `3-5`: the ranks that the data allow."""
    same = row.best_rank == row.worst_rank
    return f"{row.best_rank}" if same else f"{row.best_rank}-{row.worst_rank}"


def _shown(boards: Sequence[Board]) -> list[Board]:
    """With one category, its table says all that the overall one would."""
    return [board for board in boards if board.category != OVERALL or len(boards) > 2]


def _cells(board: Board) -> list[list[str]]:
    header = ["", "Model", "Scores (%)", "CI (%)", "Rank", "Questions", "Games"]
    rows = [
        [
            str(number),
            row.model + (" (baseline)" if row.is_baseline and row.model[0] != "(" else ""),
            f"{row.score:.1f}" if math.isfinite(row.score) else "-",
            interval_text(row),
            rank_text(row),
            "-" if row.is_baseline else str(row.questions),
            "-" if row.is_baseline else str(row.games),
        ]
        for number, row in enumerate(board.rows, 1)
    ]
    return [header, *rows]


def _style_cells(board: Board) -> list[list[str]]:
    header = ["Style column", "Coefficient", "CI"]
    rows = [
        [one.column, f"{one.value:+.3f}", f"({one.lower:+.3f}, {one.upper:+.3f})"]
        for one in board.style.coefficients
    ]
    return [header, *rows]


def text_table(cells: list[list[str]], left: int = 1) -> str:
    """Columns two blanks apart; the first `left` ones are flush left, as words want to be."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _markdown_table(cells: list[list[str]]) -> str:
    header, *rows = ([cell.replace("|", "\\|") for cell in row] for row in cells)
    rule = [":--" if name in ("Model", "Style column") else "--:" for name in header]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
