# in:  batches/, logs/<batch>/batch.json and games/ of the judge's results folder, and Slurm's accounting
# out: <results_dir>/<bench>/<judge>/ledger.tsv, ledger.html
# What the campaign has used so far: one row per batch and a total. Remade when a judgment is.


# Add up GPU hours, server time, games, tokens and cost.
rule ledger:
    input:
        JUDGED,
    output:
        tsv=f"{ROOT}/ledger.tsv",
        html=report(
            f"{ROOT}/ledger.html",
            caption="../report/ledger.rst",
            category="Campaign",
            labels={"page": "What the campaign used"},
        ),
    log:
        f"{ROOT}/logs/ledger.log",
    localrule: True
    conda:
        "../envs/arena.yaml"
    params:
        models=judged_models,
        script=SCRIPTS / "ledger.py",
        root=lambda wildcards, output: str(Path(output.tsv).parent),
        price="" if SETTINGS.gpu_hour_cost is None else f"--price {SETTINGS.gpu_hour_cost}",
    shell:
        "python {params.script:q} {params.root:q} --tsv {output.tsv:q} --html {output.html:q}"
        " {params.price} > {log:q} 2>&1"


if ANSWERS:

    # The same for the jobs that generate answers.
    use rule ledger as ledger_of_answers with:
        input:
            lambda wildcards: [
                end_marker(ANSWERS.root, batch) for batch in checked().answers.batches
            ],
        output:
            tsv=f"{ANSWERS.root}/ledger.tsv",
            html=f"{ANSWERS.root}/ledger.html",
        log:
            f"{ANSWERS.root}/logs/ledger.log",
        localrule: True
        params:
            models=[],
