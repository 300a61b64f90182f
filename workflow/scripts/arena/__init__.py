"""Arena-Hard judging as a library: plain functions over plain data, no Snakemake in it.

One package a concern; each says its own in its first line.
"""

import sys
from importlib.util import find_spec

if find_spec("msgspec") is None:  # started with a Python without this project's packages
    sys.exit("no module msgspec: use the Python that runs Snakemake, such as .venv/bin/python")
