"""docs/faults.md and docs/judge-server.md: each row names tests, and the tests are there."""

import re

import pytest


@pytest.mark.parametrize(
    ("page", "title", "least"),
    [("faults.md", "| fault ", 50), ("judge-server.md", "| fault | what happens ", 12)],
)
def test_every_row_of_the_page_is_a_test(project, page, title, least):
    rows = rows_below((project / "docs" / page).read_text(), title)
    assert len(rows) >= least
    for row in rows:
        cells = row.strip("|").split(" | ")
        assert len(cells) == 5, row
        for test in cells[-1].strip().split(", "):
            named = re.fullmatch(r"(\w+)::(test_\w+)", test)
            assert named, row
            folder = "chaos" if named[1] == "chaos" else "unit"
            text = (project / "tests" / folder / f"test_{named[1]}.py").read_text()
            assert f"def {named[2]}(" in text, test


def rows_below(text: str, title: str) -> list[str]:
    """The rows of all tables whose first line begins with the title."""
    found, inside = [], False
    for line in text.splitlines():
        if line.startswith(title):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and "---" not in line:
            found.append(line)
    return found
