"""Arena-Hard judging as a library: plain functions over plain data, no Snakemake in it.

One package a concern; each says its own in its first line.
"""
