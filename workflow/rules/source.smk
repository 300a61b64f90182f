# RULES and SCRIPTS: where the files of this workflow are, as folders on this disk.
# Imported by github() or gitlab(), as snakedeploy writes it, a workflow is a clone without a working tree, out of which Snakemake
# takes single files. Our scripts import the package beside them, so the imported commit is unpacked below .snakemake/.
import sys
import tarfile
import tempfile
from pathlib import Path


def unpacked(source):
    """The folder that `source`, a folder of a hosted repository, is unpacked to; once a commit."""
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
                # Python 3.11 before 3.11.4 has no filter, and 3.12 warns where none is named
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(tree)
            try:
                tree.rename(folder)
            except OSError:  # another job that started together with this one was faster
                if not folder.exists():
                    raise
    return folder / source.path


RULES = workflow.current_basedir
RULES = unpacked(RULES) if hasattr(RULES, "hosted_repo") else Path(RULES)
# A Path, which Snakemake does not compare among params: a project may move.
SCRIPTS = RULES.parent / "scripts"
sys.path.insert(0, str(SCRIPTS))
