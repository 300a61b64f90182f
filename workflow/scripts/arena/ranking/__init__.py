"""From judgments to scores, intervals, comparisons and the judge's health."""

import os

# NumPy reads this when it is first imported. Our products of matrices are small: threads only wait
# for one another, and style control took ten times as long on a machine with other work.
for _library in ("OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
