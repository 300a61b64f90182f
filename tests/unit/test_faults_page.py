"""docs/faults.md: each row names a test, and the test is there."""

import re

import pytest


def test_every_row_of_the_page_is_a_test(project):
    page = (project / "docs" / "faults.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|") and "---" not in line]
    rows = [row for row in rows if not row.startswith("| fault ")]
    assert len(rows) > 40
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 5, row
        named = re.fullmatch(r"(\w+)::(test_\w+) ?\|?", cells[-1])
        assert named, row
        folder = "chaos" if named[1] == "chaos" else "unit"
        text = (project / "tests" / folder / f"test_{named[1]}.py").read_text()
        if f"def {named[2]}(" not in text:
            pytest.fail(f"no such test: {cells[-1]}")
