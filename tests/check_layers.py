"""Which package of `arena` may import which; an import within a function counts too."""

import ast
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"
ORDER = ["support", "data", "setup", "journals", "judge client", "batch", "campaign", "costs"]
MAY = {
    package: set(" ".join(ORDER[:place]).split())
    for place, packages in enumerate(ORDER)
    for package in packages.split()
}
MAY |= {"demo": {"support"}, "ranking": {"support", "data"}}
MAY["pages"] = {"support", "data", "ranking"}
MAY["campaign"] |= {"pages"}  # the monitor's page
MAY["costs"] |= {"pages"}  # the ledger's page


def imports(file: Path) -> list[tuple[int, str]]:
    """Line and full name of everything that a file imports."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}:{node.lineno}: write the import in full"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


wrong = [
    f"{file.relative_to(SCRIPTS.parents[1])}:{line}: {file.parent.name} may not import {name}"
    for file in sorted(SCRIPTS.glob("arena/*/*.py"))
    for line, name in imports(file)
    if name.startswith("arena.")
    and name.split(".")[1] not in {file.parent.name, *MAY.get(file.parent.name, ())}
]
sys.exit("\n".join(wrong) or 0)
