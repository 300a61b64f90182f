"""A hook of MkDocs (mkdocs.yml): the site's pages are the repository's, at their own paths."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "config/README.md",
    "profiles/README.md",
    "docs/**/*.md",
)
LINKED = ("docs/pictures/*.png", "docs/pictures/*.svg", "LICENSE", "CITATION.cff")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what was found in docs/ by the repository's pages; the theme's files stay."""
    root = Path(config.config_file_path).parent
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)
    for path in sorted(path for pattern in (*PAGES, *LINKED) for path in root.glob(pattern)):
        name = path.relative_to(root).as_posix()
        files.append(File(name, str(root), config.site_dir, config.use_directory_urls))
    return files
