"""Nothing about Arena-Hard: errors, files, text, tables, names, processes, Slurm."""
