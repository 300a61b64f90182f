"""What others say is shown as text and never obeyed, by a terminal or a spreadsheet."""

import pytest
from arena.campaign.validation import Report, Row
from arena.data.layout import Layout
from arena.support.errors import ConfigError
from arena.support.humanize import csv_cell, listing, printable, shorten
from arena.support.table import Column, Style, table

NASTY = "a\x1b[31mb\x1b]0;title\x07c\rd\x9be\u202ef\x00g\u2028h\x7f"
SHOWN = r"a\x1b[31mb\x1b]0;title\x07c\rd\x9be\u202ef\x00g\u2028h\x7f"


def test_control_characters_are_shown_as_their_escapes():
    assert printable(NASTY) == SHOWN
    assert printable("Zürich ✓ 日本 🙂\n\tx") == "Zürich ✓ 日本 🙂\n\tx"


def test_no_output_contains_control_characters(tmp_path):
    name = Column("model", lambda row: row, right=False)
    row = Row("m", 1, 1, 0, 0, 0, 0, 0, "broken", f"uid {NASTY}")
    report = Report("b", 1, [row], [NASTY], [NASTY])
    report.write(Layout(tmp_path))
    shown = [
        str(ConfigError(NASTY)),
        listing([NASTY, "x"]),
        shorten(NASTY),
        *table([name], [NASTY], Style(width=120)),
        *Style(width=120).wrap(NASTY, "- ", "  "),
        report.table().replace("\n", ""),
        *report.left_out(),
        (tmp_path / "validation.tsv").read_text().replace("\n", "").replace("\t", ""),
    ]
    for text in shown:
        assert not [char for char in text if not char.isprintable()], text
        assert "x1b" in text or "model" in text or "u001b" in text


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+2", "'=1+2"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", r"'\r=1"),
        ("-0.5", "-0.5"),
        ("-", "'-"),
        (-0.5, -0.5),
        (None, None),
        ("\x1b[0m", r"\x1b[0m"),
    ],
)
def test_cells_that_begin_like_formulas_are_quoted(value, cell):
    assert csv_cell(value) == cell
