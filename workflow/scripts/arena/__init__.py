"""Arena-Hard judging as a library: pure functions over plain data, no Snakemake in it."""
