# in:  folders of weights, or endpoints; <data_dir>/<bench>/question.jsonl
# out: <data_dir>/<bench>/model_answer/{model}.jsonl
# One job a batch asks its models; a target a model publishes its answers. Absent without `answers` in the config.
if ANSWERS:
    # As with judges: profiles give GPUs to the first name only.
    GEN_ANSWER = "gen_answer_no_gpu"
    if any(writer.server["server"] == "vllm" for writer in ANSWERS.writers.values()):
        GEN_ANSWER = "gen_answer"

    if PLANNING:

        rule:
            name:
                GEN_ANSWER
            output:
                temp(f"{ANSWERS.root}/plan/{{batch}}.json"),
            log:
                f"{ANSWERS.root}/logs/plan/{{batch}}.log",
            localrule: True
            conda:
                "../envs/arena.yaml"
            resources:
                runtime=answer_walltime,
            params:
                asked=lambda wildcards, resources: json.dumps(asked_for(dict(resources))),
            shell:
                "printf '%s\\n' {params.asked:q} > {output:q} 2> {log:q}"

    else:

        # Start the servers of a batch's models one after the other, ask what no journal holds, write the answers, clean up.
        rule:
            name:
                GEN_ANSWER
            input:
                batch=f"{ANSWERS.root}/batches/{{batch}}.json",
                questions=str(SETTINGS.questions),
            output:
                temp(f"{ANSWERS.root}/played/{{batch}}"),
            log:
                f"{ANSWERS.root}/logs/gen_answer/{{batch}}.log",
            retries: SETTINGS.retries if workflow.is_main_process else 0
            conda:
                "../envs/arena.yaml"
            threads: 1 if GEN_ANSWER == "gen_answer_no_gpu" else workflow.cores
            resources:
                runtime=answer_walltime,
                tries_left=lambda wildcards, attempt: SETTINGS.retries + 1 - attempt,
            params:
                script=SCRIPTS / "gen_answer.py",
                asked=lambda wildcards, resources, threads: json.dumps(
                    asked_for({**dict(resources), "threads": threads})
                ),
            shell:
                "exec python {params.script:q} {input.batch:q} --tries-left {resources.tries_left}"
                " --resources {params.asked:q} > {log:q} 2>&1"

    # Publish a model's answers, or say which are open and why.
    rule answer:
        input:
            unpack(answered_by),
        output:
            # Not removed before there is another one, and put back where none is made.
            update(str((ANSWERS.folder or SETTINGS.answers_dir) / "{model}.jsonl")),
        log:
            f"{ANSWERS.root}/logs/answer/{{model}}.log",
        wildcard_constraints:
            model="|".join(map(re.escape, ANSWERS.writers)),
        retries: 0
        localrule: True
        conda:
            "../envs/arena.yaml"
        # All depend on `input`, so that no change of settings makes an answer that is there be made again; what is there
        # stays even where Snakemake runs this (-F, a run that was killed).
        params:
            publish=lambda wildcards, input: (
                publication(wildcards.model, Path(input.played).name)
                if "played" in input.keys()
                else "test -e"
            ),
        shell:
            "{params.publish} {output:q} 2> {log:q}"

    # What the answers of the campaign used so far, as rule ledger says of its judgments.
    rule ledger_of_answers:
        input:
            lambda wildcards: [ended_by(ANSWERS.root, batch) for batch in checked().answers.batches],
        output:
            tsv=f"{ANSWERS.root}/ledger.tsv",
            html=f"{ANSWERS.root}/ledger.html",
        log:
            f"{ANSWERS.root}/logs/ledger.log",
        localrule: True
        conda:
            "../envs/arena.yaml"
        params:
            script=SCRIPTS / "ledger.py",
            root=lambda wildcards, output: str(Path(output.tsv).parent),
            price=("" if SETTINGS.gpu_hour_cost is None else f"--price {SETTINGS.gpu_hour_cost}"),
        shell:
            "python {params.script:q} {params.root:q} --tsv {output.tsv:q} --html {output.html:q}"
            " {params.price} > {log:q} 2>&1"
