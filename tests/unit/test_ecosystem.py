"""What other programs read of this repository: how to cite it, the catalog, CI, the image."""

import datetime
import re
import subprocess
from pathlib import Path

import jsonschema
import yaml

# What https://github.com/citation-file-format requires, of the parts that are used here.
PERSON = {
    "type": "object",
    "properties": {"family-names": {"type": "string"}, "given-names": {"type": "string"}},
    "required": ["family-names"],
    "additionalProperties": False,
}
ENTITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
AUTHORS = {"type": "array", "minItems": 1, "items": {"anyOf": [PERSON, ENTITY]}}
CITATION = {
    "type": "object",
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": {"type": "string", "minLength": 1},
        "type": {"enum": ["software", "dataset"]},
        "title": {"type": "string"},
        "abstract": {"type": "string"},
        "authors": AUTHORS,
        "version": {"type": "string"},
        "date-released": {"type": "string", "format": "date"},
        "license": {"const": "MIT"},
        "keywords": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        "references": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "title", "authors"],
                "additionalProperties": False,
                "properties": {
                    "type": {"enum": ["article", "conference-paper", "software"]},
                    "title": {"type": "string"},
                    "authors": AUTHORS,
                    "year": {"type": "integer"},
                    "url": {"type": "string", "pattern": "^https://"},
                },
            },
        },
    },
}


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_citation_is_valid_and_of_the_version_that_the_changelog_describes(
    project: Path,
) -> None:
    citation = read(project / "CITATION.cff")
    date = citation["date-released"]
    assert isinstance(date, datetime.date)
    jsonschema.validate(citation | {"date-released": date.isoformat()}, CITATION)
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


def test_the_image_copies_what_is_in_the_repository(project: Path) -> None:
    dockerfile = (project / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY")]
    ignored = (project / ".dockerignore").read_text().splitlines()
    for path in (path for paths in copied for path in paths):
        assert (project / path).exists(), path
        assert f"!{path}" in ignored, path
    shown = subprocess.run(
        ["make", "-n", "image"], cwd=project, text=True, capture_output=True, check=True
    )
    assert "docker build --tag arena-hard ." in shown.stdout.splitlines()
