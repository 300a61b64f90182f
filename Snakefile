# The workflow is workflow/Snakefile, which others may import. This file makes `snakemake` enough to type here: an included
# file cannot set the default target.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
