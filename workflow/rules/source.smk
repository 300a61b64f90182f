# RULES and SCRIPTS: folders of this workflow's files.
# A workflow imported by github() or gitlab(), as snakedeploy writes it, is a clone without a working tree, from which Snakemake
# reads single files. Our scripts import the package next to them, so the imported commit is unpacked below .snakemake/.
import sys
import tarfile
import tempfile
from pathlib import Path


def unpacked(source):
    """Unpack `source`, a folder of a hosted repository, once per commit; returns the folder."""
    repository = source.hosted_repo.repo
    commit = repository.commit(source.ref).hexsha
    folder = Path(".snakemake/arena-hard", commit).absolute()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            archive, tree = Path(scratch, "tar"), Path(scratch, "tree")
            with archive.open("wb") as file:
                repository.archive(file, commit, path=["workflow", "config"])
            with tarfile.open(archive) as tar:
                # Python before 3.11.4 has no filters, and 3.12 warns if none is set
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(tree)
            try:
                tree.rename(folder)
            except OSError:  # another job unpacked it at the same time
                if not folder.exists():
                    raise
    return folder / source.path


RULES = workflow.current_basedir
RULES = unpacked(RULES) if hasattr(RULES, "hosted_repo") else Path(RULES)
# A Path, because Snakemake ignores Paths when it compares params: the project folder may move.
SCRIPTS = RULES.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))

from arena.support.processes import put_first

# bin/: our sacct, which shows the end of cancelled and preempted jobs. The folder of this Python: for nodes without an active
# environment.
put_first(RULES.parent / "bin", Path(sys.executable).parent)
