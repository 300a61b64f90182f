"""From judgments to scores, intervals, comparisons and the judge's health."""
