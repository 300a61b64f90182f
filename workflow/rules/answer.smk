# in:  folders of weights, or endpoints; <data_dir>/<bench>/question.jsonl
# out: <data_dir>/<bench>/model_answer/{model}.jsonl
# One rule per model publishes answers; judge.smk has the jobs that generate them. Absent without `answers` in the config.
if ANSWERS:

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
                f"{publisher(ANSWERS.root, checked().answers.digests[wildcards.model])}"
                f" --model {wildcards.model} --played={shlex.quote(input.played)}"
                if "played" in input.keys()
                else "test -e"
            ),
        shell:
            "{params.publish} {output:q} 2> {log:q}"
