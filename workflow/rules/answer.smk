# in:  folders of weights, or endpoints; <data_dir>/<bench>/question.jsonl
# out: <data_dir>/<bench>/model_answer/{model}.jsonl
# One job per batch generates answers; one rule per model publishes them. Absent without `answers` in the config.
if ANSWERS:

    if not PLANNING:

        # Start the servers of a batch one after the other, request what no journal contains, write the answers, clean up.
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

    # Publish a model's answers, or report which are missing and why.
    rule answer:
        input:
            unpack(answer_sources),
        output:
            # `update`: not removed until a new file is complete, and restored if none is made.
            update(str((ANSWERS.folder or SETTINGS.answers_dir) / "{model}.jsonl")),
        log:
            f"{ANSWERS.root}/logs/answer/{{model}}.log",
        wildcard_constraints:
            model="|".join(map(re.escape, ANSWERS.writers)),
        retries: 0
        localrule: True
        conda:
            "../envs/arena.yaml"
        # The command depends on `input` alone, so that changed settings do not remake existing answers. Existing answers stay
        # even where Snakemake runs this rule (-F, after a killed run).
        params:
            publish=lambda wildcards, input: (
                publish_answers(wildcards.model, Path(input.played).name)
                if "played" in input.keys()
                else "test -e"
            ),
        shell:
            "{params.publish} {output:q} 2> {log:q}"
