"""Plain tables for terminals."""

from arena.support.table import Column, Style, lay_out, table

ROWS = [("alpha-of-a-long-name", "3"), ("b", "1,200")]
COLUMNS = [
    Column("model", lambda row: row[0], right=False, shrinks=True),
    Column("games", lambda row: row[1], kind=lambda row: "done" if row[1] == "3" else ""),
    Column("wide", lambda row: "x", least=100),
]


def test_columns_are_as_wide_as_their_widest_cell_whatever_its_colour():
    done = Style(colour=True).paint("3", "done")
    assert lay_out(
        [["model", "games", "why"], ["a", done, ""], ["b\nd", "12", "late"]], {0, 2}
    ) == [
        "model  games  why",
        f"a          {done}",
        "b d       12  late",
    ]
    assert lay_out([]) == []


def test_the_column_that_shrinks_gives_way():
    assert table(COLUMNS, ROWS, Style(width=40)) == [
        "model                games",
        "alpha-of-a-long-name     3",
        "b                    1,200",
    ]
    assert table(COLUMNS, ROWS, Style(width=16)) == [
        "model      games",
        "alph…-name     3",
        "b          1,200",
    ]


def test_a_column_that_needs_more_room_is_shown_where_it_is():
    assert table(COLUMNS, ROWS, Style(width=120))[2] == "b                    1,200    x"
