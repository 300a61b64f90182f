# The workflow is workflow/Snakefile, which other workflows can import. This file makes `snakemake` work without a target: an
# included file cannot set the default target.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
    localrule: True
