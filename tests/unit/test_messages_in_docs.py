"""docs/faults.md: the messages that its first table quotes are those of the programs."""

import re
from pathlib import Path

import snakemake.exceptions


def test_every_message_that_is_quoted_exists(project: Path) -> None:
    files = [path for glob in ("*.py", "*.smk") for path in (project / "workflow").rglob(glob)]
    files.append(Path(snakemake.exceptions.__file__))
    # texts that go on in the next line are one text
    code = re.sub(r'"\s*f?"', "", "\n".join(path.read_text() for path in files))
    page = (project / "docs/faults.md").read_text().partition("## Messages, and what to do")[2]
    cells = re.findall(r"^\| (.+?) \| ", page.partition("\n## ")[0], re.M)[2:]
    quoted = [text for cell in cells for text in re.findall(r"`(.+?)`", cell)]
    assert len(quoted) >= 10
    for text in quoted:
        for part in re.split(r"\.\.\.", text):
            assert part.strip(" :") in code, text
