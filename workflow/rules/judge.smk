# in:  <data_dir>/<bench>/question.jsonl, model_answer/{model}.jsonl, the baseline's answers
# out: <judgments_dir>/<judge>/{model}.jsonl
# One Slurm job a batch: its judge server, and a client for each of its models.


# Serve the judge while the models of a batch play; it starts at the first real question.
rule judge_server:
    output:
        service(f"{ROOT}/server/{{batch}}.json"),
    log:  # leads to the batch's own, which is added to: Snakemake removes a log before each attempt
        f"{ROOT}/logs/judge_server/{{batch}}.log",
    group:
        "judge"
    conda:
        "../envs/arena.yaml"
    threads: judge_threads
    resources:
        runtime=walltime,
    params:
        batch=f"{ROOT}/batches/{{batch}}.json",
        logs=f"{ROOT}/logs/{{batch}}",
        script=SCRIPTS / "judge_server.py",
    shell:
        "mkdir -p {params.logs:q} && ln -sf ../{wildcards.batch}/server.log {log:q} && "
        "exec python {params.script:q} --batch {params.batch:q} --logs {params.logs:q} {output:q}"
        " >> {params.logs:q}/server.log 2>&1"


# A judge that needs no GPU asks for none, whatever the profile says: demo, external, a rehearsal.
if SETTINGS.judge["server"] != "vllm":
    batches.ask_for_no_gpu(workflow.get_rule("judge_server").resources)


# Play every game of a model that its journal does not hold, then write its judgments in question order.
rule gen_judgment:
    input:
        answer=SETTINGS.answer("{model}"),
        baseline=[SETTINGS.answer(model) for model in SETTINGS.baseline_models],
        reference=[SETTINGS.answer(model) for model in [SETTINGS.judge["reference"]] if model],
        questions=str(SETTINGS.questions),
        server=server_of_batch,
    output:
        JUDGMENT,
    log:
        f"{ROOT}/logs/gen_judgment/{{model}}.log",
    group:
        "judge"
    conda:
        "../envs/arena.yaml"
    threads: 0  # waits on the network; only so do ten fit beside the server
    resources:
        mem_mb=300,  # said, because the default would be added ten times
    params:
        settings=SETTINGS,  # an object, which Snakemake does not compare; what it compares is
        judged_with=SETTINGS.judged_with(),
    script:
        "../scripts/gen_judgment.py"


# What a job needs to know of its batch, and whoever looks on: written before the first job starts.
onstart:
    write_batches(workflow.dag, log)
    let_all_clients_start()
    watch_for_early_stop(ROOT, RUN, stop_submitting)


onerror:
    cancel_what_is_left()
