# in:  folders of weights, or endpoints; <data_dir>/<bench>/question.jsonl
# out: <data_dir>/<bench>/model_answer/{model}.jsonl
# One job a batch asks its models; a target a model publishes its answers. Absent without `answers` in the config.
from arena.batch.answer_plan import describe_answers, servings
from arena.batch.made import link
from arena.journals.records import BatchPlan


def serving_of(batch):
    """Models of a batch of answers, and servers that it starts one after the other."""
    if workflow.is_main_process:
        models = checked().answers.members(batch)
        return len(models), len(servings(checked().answers, models, ANSWERS))
    plan = BatchPlan.from_json(json.loads(Layout(ANSWERS.root).batch(batch).read_text()), batch)
    return len(plan.models), len(plan.servings)


def answered_by(wildcards):
    """What makes a model's answers; nothing where they are there, whoever made them."""
    answers = checked().answers if workflow.is_main_process else None
    batch = answers and answers.batch_of(wildcards.model)
    if not batch:
        return {}
    layout, stale = Layout(ANSWERS.root), []
    if wildcards.model in answers.redone:
        stale = [str(layout.stale(wildcards.model))]
        planning.mark(layout.stale(wildcards.model))
        if not workflow.dryrun:
            link(
                Path(SETTINGS.answer(wildcards.model)), layout.replaced / f"{wildcards.model}.jsonl"
            )
    return {"played": ended_by(ANSWERS.root, batch), "stale": stale}


if ANSWERS:
    # As with judges: profiles give GPUs to the first name only.
    GEN_ANSWER = "gen_answer_no_gpu"
    if any(writer.server["server"] == "vllm" for writer in ANSWERS.writers.values()):
        GEN_ANSWER = "gen_answer"

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
            runtime=lambda wildcards, attempt: round(
                ANSWERS.job_minutes(*serving_of(wildcards.batch), attempt)
            ),
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
            str((ANSWERS.toy_dir or SETTINGS.answers_dir) / "{model}.jsonl"),
        log:
            f"{ANSWERS.root}/logs/answer/{{model}}.log",
        wildcard_constraints:
            model="|".join(map(re.escape, ANSWERS.writers)),
        retries: 0
        localrule: True
        conda:
            "../envs/arena.yaml"
        # All depend on `input`, so that no change of settings makes an answer that is there be made again.
        params:
            script=SCRIPTS / "judgment.py",
            told=lambda wildcards, input: (
                f"--root {ANSWERS.root} --settings {checked().answers.digests[wildcards.model]}"
                f" --batch {Path(input.played).name}"
                if "played" in input.keys()
                else ""
            ),
        shell:
            "exec python {params.script:q} --model {wildcards.model:q} {params.told} {output:q} 2> {log:q}"
