"""From judgments to scores, intervals, comparisons and the judge's health."""

import os

# NumPy reads this when it is first imported. Our matrix products are small, so threads only wait
# for each other: style control took ten times as long on a busy machine.
for _library in ("OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
