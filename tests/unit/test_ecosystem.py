"""What other programs read of this repository: how to cite it, the catalog, CI."""

import datetime
import re
from pathlib import Path

import yaml


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_citation_is_valid_and_of_the_version_in_the_changelog(project: Path) -> None:
    """What https://github.com/citation-file-format requires, of the keys that are used."""
    citation = read(project / "CITATION.cff")
    date = citation["date-released"]
    assert isinstance(date, datetime.date)
    required = {"cff-version", "message", "title", "authors"}
    used = {"type", "abstract", "version", "date-released", "license", "keywords", "references"}
    assert required <= citation.keys() <= required | used
    assert (citation["cff-version"], citation["license"]) == ("1.2.0", "MIT")
    for work in (citation, *citation["references"]):
        assert work["type"] in {"software", "article"} and work["title"]
        for author in work["authors"]:
            assert author.keys() in ({"name"}, {"family-names", "given-names"})
    headings = re.findall(r"^## (.+)$", (project / "CHANGELOG.md").read_text(), re.M)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert released[0] == f"{citation['version']} - {date}"
    assert (project / "LICENSE").read_text().startswith("MIT License\n")


def test_the_catalog_finds_what_it_asks_of_standardized_usage(project: Path) -> None:
    usage = read(project / ".snakemake-workflow-catalog.yml")["usage"]
    assert usage["software-stack-deployment"]["conda"] is True
    assert usage["report"] is True
    for path in ("workflow/Snakefile", "config/README.md", ".test/config/config.yaml"):
        assert (project / path).is_file(), path
    readme = (project / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme


def test_ci_runs_what_the_makefile_has_with_actions_of_one_commit(project: Path) -> None:
    jobs = read(project / ".github/workflows/test.yml")["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    targets = re.findall(r"^([a-z-]+):", (project / "Makefile").read_text(), re.M)
    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        elif step["run"].startswith("make "):
            assert step["run"].split()[1] in targets
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
