"""A campaign as a whole: what is valid, its batches, what Slurm does with them, where it stands."""
