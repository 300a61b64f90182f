"""The pages: links and anchors lead somewhere. Nothing is fetched."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# Those of docs/site.py.
GLOBS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "profiles/README.md",
    "docs/**/*.md",
)
PAGES = sorted(
    path.relative_to(PROJECT).as_posix() for glob in GLOBS for path in PROJECT.glob(glob)
)


def text_of(page: Path) -> str:
    """Without blocks of code, where brackets and # mean something else."""
    return re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """Names of the page's headings as GitHub makes them; a second one of a name gets -1."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", text_of(page), re.M):
        shown = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        count = found.get(name, 0)
        found[name] = count + 1
        names.add(f"{name}-{count}" if count else name)
    return names | set(re.findall(r'<a (?:id|name)="(.+?)"', text_of(page)))


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere; those to the web are left alone."""
    text = re.sub(r"`[^`\n]*`", "", text_of(page))
    targets = re.findall(r"\]\(\s*<?([^)>\s]+)", text)
    targets += re.findall(r"^\[.+?\]:\s+(\S+)", text, re.M)
    targets += re.findall(r'<(?:a|img)\b[^>]*?(?:href|src)="(.+?)"', text)
    wrong = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    assert not broken(PROJECT / page)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Of `a_b`, and: more!\n\n[a](#of-a_b-and-more) [b](#none) [c](page.md#none) [d](no.md)\n"
        "[e](https://example.org/) ![f](no.png) `[g](no.md)` [h][1]\n\n[1]: no.txt\n\n"
        "# Twice\n# Twice\n[i](#twice-1) [j](#twice-2)\n\n```sh\n# comment\n[k](no.md)\n```\n"
        "[l](#comment)\n"
    )
    assert sorted(broken(page)) == sorted(
        ["#none", "page.md#none", "no.md", "no.png", "no.txt", "#twice-2", "#comment"]
    )
