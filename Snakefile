# The workflow is workflow/Snakefile; with this line `snakemake` is enough to type here.
include: "workflow/Snakefile"
