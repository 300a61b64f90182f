"""Answers and judgments in one run: two batches of each, and what a cancelled job costs."""

import shlex
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from tests.checkpoints import SERVE, adapter, checkpoint
from tests.faults import message_digest
from tests.slurm.campaign import Campaign, await_that, lives, read_lines, slurm, state

QUESTIONS, PARALLEL = 10, 4
ADAPTERS, FULL = ["m01", "m02"], ["m03", "m04"]


def of_checkpoints(
    make: Callable[..., Campaign], hold: int | None = None
) -> tuple[Campaign, Campaign]:
    """Two adapters, which share a server, and two full checkpoints, served one after the other; the
    last is not served before `go`. The campaign, and a look at its answers. hold: answers that each
    server gives before `go`."""
    whole = make(models=4, questions=QUESTIONS, config={"batch_size": 2})
    weights = whole.folder / "ckpt"
    base = checkpoint(weights / "base")
    for name in ADAPTERS:
        adapter(weights / name, base)
    for name in FULL:
        checkpoint(weights / name, name=name)
    for name in whole.names:
        (whole.folder / f"data/tiny/model_answer/{name}.jsonl").unlink()
    go = shlex.quote(str(whole.folder / "go"))
    wait = f"while [ {{name}} = {FULL[-1]} ] && ! [ -e {go} ]; do sleep 0.2; done"
    asked = whole.folder / "asked"
    serve = SERVE.replace("requests/", f"{shlex.quote(str(asked))}/")
    answers = {"models": {name: f"ckpt/{name}" for name in whole.names}, "batch_size": 2}
    if hold is not None:
        serve += f" --hold {hold} {go}"
    answers |= {"command": f"{wait}\n{serve}", "parallel": PARALLEL}
    whole.configure({"answers": answers})
    return whole, replace(whole, stage="answers")


def made(whole: Campaign) -> dict[str, list]:
    """model -> its answers, by what the file says of them."""
    found = {}
    for model in whole.names:
        lines = read_lines(whole.folder / f"data/tiny/model_answer/{model}.jsonl")
        assert {line["model"] for line in lines} == {model}
        found[model] = [(line["uid"], line["messages"]) for line in lines]
    return found


def calls(whole: Campaign) -> list[dict]:
    """What the writers were asked."""
    found = [one for log in (whole.folder / "asked").glob("*") for one in read_lines(log)]
    return [one for one in found if one["user"] != "supervisor"]


def answered(answers: Campaign) -> dict[str, float]:
    """When an answer came into its journal, by the digest that the writer's log gives a call."""
    prompts = {
        line["uid"]: line["prompt"]
        for line in read_lines(answers.folder / "data/tiny/question.jsonl")
    }
    moments = {}
    for model in answers.names:
        for line in answers.games(model):
            asked = [{"role": "user", "content": prompts[line["uid"]]}]
            moment = datetime.fromisoformat(line["time"]).timestamp() + 0.001
            assert moments.setdefault(message_digest(asked, model), moment) == moment, "doubled"
    return moments


def job_of(answers: Campaign, models: list[str]) -> str:
    """Wait for the job of the batch of these models; its Slurm id."""

    def begun() -> str | None:
        batches = {batch["batch"]: batch["models"] for batch in answers.batches()}
        of_models = [one for one in answers.batch_logs() if batches[one["batch"]] == models]
        return of_models[0]["slurm_job_id"] if of_models else None

    return await_that(begun, f"the job that makes the answers of {models}")


def test_judging_begins_while_other_answers_are_made(campaign):
    whole, answers = of_checkpoints(campaign)
    whole.start()
    comments = {}

    def judging() -> bool:
        """A job of judgments has begun, while m04 still waits for its server."""
        begun = bool(whole.attempts())
        for line in slurm("squeue", "-h", "-t", "all", "-o", "%i %k").splitlines():
            job, _, comment = line.partition(" ")
            comments[job] = comment
        return begun

    await_that(judging, "a batch of judgments, before all answers are made")
    whole.go()
    assert whole.wait() == 0, whole.text()

    first, second = answers.batches()
    assert (first["models"], second["models"]) == (ADAPTERS, FULL)
    assert [batch["models"] for batch in whole.batches()] == [ADAPTERS, FULL]
    writing, judged = answers.batch_logs(), whole.batch_logs()
    assert writing[0]["end"] < judged[0]["start"] < writing[1]["end"] < judged[1]["start"]
    assert not any(one["earlier"] for one in (*writing, *judged))

    # What Slurm was asked for: the profile's, and 20 minutes a server and 1 a model.
    jobs = {life.id: life for life in lives(whole.jobs())}
    assert len(jobs) == 4
    for records, shape in ((writing, (1, 8, "32000M")), (judged, (2, 8, "62.50G"))):
        for record in records:
            life = jobs[record["slurm_job_id"]]
            assert (life.gpus, life.cores, life.memory, life.state) == (*shape, "COMPLETED")
    minutes = [jobs[record["slurm_job_id"]].minutes for record in (*writing, *judged)]
    assert minutes == [22, 42, 22, 22]
    for record in (*writing, judged[0]):
        rule = "gen_answer" if record in writing else "gen_judgment"
        assert comments[record["slurm_job_id"]] == f"rule_{rule}_wildcards_{record['batch']}"

    texts = made(whole)
    assert all(len(lines) == QUESTIONS for lines in texts.values())
    assert len({str(lines) for lines in texts.values()}) == 4  # each its own
    assert len(calls(whole)) == answers.judged() == 4 * QUESTIONS
    assert whole.judged() == len(whole.requests()) == 4 * QUESTIONS * 2
    whole.nothing_left()


def test_a_cancelled_job_of_answers(campaign):
    """Its retry asks what is open; what is made of it all is what a calm run makes on one
    machine."""
    calm, _ = of_checkpoints(campaign)
    calm.go()
    assert calm.run(profile="profiles/local") == 0, calm.text()

    struck, answers = of_checkpoints(campaign, hold=PARALLEL)
    struck.start()
    job = job_of(answers, FULL)
    await_that(lambda: len(answers.games(FULL[0])) == PARALLEL, "answers of the first checkpoint")
    slurm("scancel", job)
    await_that(lambda: job not in answers.queued(), "the end of the job")
    struck.go()
    assert struck.wait() == 0, struck.text()

    assert state(job) == "CANCELLED"
    (_, record) = answers.batch_logs()
    assert [one["slurm_job_id"] for one in record["earlier"]] == [job]
    moments = answered(answers)
    assert len(moments) == 4 * QUESTIONS
    late = [call for call in calls(struck) if call["in"] > moments[call["digest"]]]
    assert not late, "asked although answered"
    times = Counter(call["digest"] for call in calls(struck))
    again = sum(times.values()) - len(times)
    struck.figures |= {"asked again": again}
    assert len(times) == 4 * QUESTIONS and again <= PARALLEL
    assert made(struck) == made(calm)
    assert struck.judgments() == calm.judgments()
    assert struck.judged() == 4 * QUESTIONS * 2  # no game is in the journals twice
    struck.nothing_left()
