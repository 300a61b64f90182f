"""Plain tables for terminals."""

from arena.support.table import Column, Style, cut, lay_out, table

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
    # a column that needs more room is shown where it is
    assert table(COLUMNS, ROWS, Style(width=120))[2] == "b                    1,200    x"


NAMES = [f"tulu3-8b-rank{rank}-step{step}000" for rank in (1, 16) for step in (2, 12)]


def named(width, **keys):
    columns = [
        Column("model", lambda name: name, right=False, names=True),
        Column("less", lambda _: "lesser", spare=2),
        Column("games", lambda _: "10"),
    ]
    return table(columns, NAMES, Style(width, **keys))


def test_names_are_never_cut_to_ambiguity():
    """Whole in files and where other columns can go; else without their common beginning."""
    lines = named(20, whole=True)
    assert [line.split()[0] for line in lines[1:]] == NAMES
    assert "lesser" in lines[1]
    short = named(34, unicode=False)
    assert [line.split()[0] for line in short[1:5]] == [n.replace("tulu3-8b-", "~") for n in NAMES]
    assert short[5].split() == ["~", "stands", "for", "tulu3-8b-"]
    assert "lesser" in short[1]
    narrow = named(10)
    assert (len(narrow), "lesser" in narrow[1]) == (6, False)
    assert len({line.split()[0] for line in narrow[1:5]}) == 4


def test_names_are_whole_from_100_columns_on():
    wide = [name.replace("8b", "8b" * 37) for name in NAMES]
    columns = [
        Column("model", lambda name: name, names=True),
        Column("less", lambda _: "lesser", spare=1),
    ]
    for width, whole in ((99, False), (100, True)):
        lines = table(columns, wide, Style(width))
        assert (wide[0] in lines[1], "lesser" in lines[1]) == (whole, not whole)


def test_a_bar_is_full_only_when_all_is_done():
    style = Style(unicode=False)
    bars = [style.bar(part, 4) for part in (0.0, 0.001, 0.999, 1.0)]
    assert bars == ["....", "#...", "###.", "####"]


def test_a_line_is_cut_by_what_is_seen_of_it():
    line = "\x1b[1mab\x1b[0mcd"
    lines = ["\x1b[1ma\x1b[0m", "\x1b[1mab\x1b[0mc", line]
    assert [cut(line, width) for width in (1, 3, 9)] == lines
