"""What becomes a job: DESIGN's table, on the local executor and through the whole product."""

import shutil

from tests.workflow.conftest import Campaign, by_command, read_lines, write_lines

MODELS = [f"m{number:02d}" for number in range(25)]


def copies(campaign: Campaign, models: list[str]) -> None:
    """Models with answers of their own to two questions."""
    lines = read_lines(campaign.answers("mid-7b-chat"))[:2]
    for path in campaign.answers("x").parent.glob("*.jsonl"):
        if path.stem != "llama-demo-8b":
            path.unlink()
    for model in models:
        for line in lines:
            line["messages"][-1]["content"]["answer"] = f"{model} says so, at some length."
        write_lines(campaign.answers(model), lines)


def sizes(campaign: Campaign, *arguments: str) -> list[int]:
    """Models of each batch, from what a dry run prints."""
    text = campaign.run("-n", *arguments).stdout
    lines = [line for line in text.splitlines() if line.startswith("batch ")]
    return [int(line.split(": ")[1].split(" ")[0]) for line in lines]


def test_25_models_make_three_jobs_and_afterwards_only_what_is_missing(campaign: Campaign) -> None:
    copies(campaign, MODELS)
    assert sizes(campaign) == [10, 10, 5]
    campaign.run()
    assert len(list(campaign.root.glob("logs/*/batch.json"))) == 3
    assert campaign.planned() == {}
    for model in MODELS[:4]:
        campaign.judgment(model).unlink()
        (campaign.root / "games" / f"{model}.jsonl").unlink()
    campaign.add_to_answers(MODELS[20], " Changed.", slice(1, 2))
    assert sizes(campaign) == [5]
    assert sizes(campaign, "--config", "judge={temperature: 0.5}") == [10, 10, 5]


IMPORTER = """
ours = dict(
    bench="arena-demo", data_dir="examples/data", judgments_dir="out/judgments",
    results_dir="out", models="all", baseline="llama-demo-8b",
    judge=dict(name="judge-a", server="demo"),
)

module arena:
    snakefile: {snakefile!r}
    config: ours

use rule * from arena as arena_*

module second:
    snakefile: {snakefile!r}
    config: ours | dict(judge=dict(name="judge-b", server="demo", temperature=0.5))

use rule * from second as second_*

rule both:
    default_target: True
    input:
        rules.arena_all.input.judgments,
        rules.second_all.input.judgments,
"""


def test_the_workflow_can_be_imported_twice_from_another_folder(tmp_path, project):
    shutil.copytree(project / "examples", tmp_path / "examples")
    snakefile = str(project / "workflow/Snakefile")
    (tmp_path / "Snakefile").write_text(IMPORTER.replace("{snakefile!r}", repr(snakefile)))

    importer = Campaign(tmp_path)
    text = importer.run("--cores", "2").stdout
    assert text.count("the judge is ready") == 2, "our lines among Snakemake's"
    for judge in ("judge-a", "judge-b"):
        assert len(list((tmp_path / "out/judgments" / judge).glob("*.jsonl"))) == 4
    # Without our profile links are made again, but no game is played.
    assert not {job for job in importer.planned() if "gen_judgment" in job}
    assert importer.planned("--rerun-triggers", "mtime", "params") == {}


def test_a_config_file_of_ones_own_replaces_the_example(campaign: Campaign) -> None:
    """The shipped file says `server: demo`: with it, a real judge would be played by the toy."""
    own = campaign.dir / "mine.yaml"
    own.write_text(
        "bench: arena-demo\ndata_dir: examples/data\njudgments_dir: results/j\nmodels: all\n"
        "baseline: llama-demo-8b\njudge: {name: mine, path: /no/weights}\n"
    )
    text = campaign.run("plan", "--configfile", "mine.yaml").stdout
    assert "judge      mine (server: vllm)" in text
    own.write_text(own.read_text().replace("path:", "server: demo, path:"))
    refused = campaign.run("-n", "--configfile", "mine.yaml", ok=False).stdout
    assert "judge.server" in refused
    assert "judge.path" in refused


def test_a_run_of_replies_without_verdicts_fails_and_keeps_its_tables(campaign: Campaign) -> None:
    for model in ("mid-7b-chat", "grand-70b-chat", "tiny-1b-step1000", "tiny-1b-step8000"):
        # The first replies have a verdict, in whatever order they come: else the batch would stop.
        campaign.add_to_answers(model, " <<judge:unparsed>>", slice(1, None))
    campaign.configure(judge=by_command() | {"no_verdict_limit": 5})
    text = campaign.run(ok=False).stdout
    assert "games have no verdict" in text
    assert (campaign.root / "leaderboard.csv").exists()


def test_ten_models_have_requests_open_at_the_same_time(campaign: Campaign) -> None:
    models = [f"copy-{number}" for number in range(10)]
    for model in models:
        shutil.copy(campaign.answers("mid-7b-chat"), campaign.answers(model))
        campaign.add_to_answers(model, f" ({model})")
    log = campaign.dir / "requests.jsonl"
    judge = by_command(f"--seconds 4 --request-log {log}") | {"parallel": 20}
    campaign.configure(models=models, judge=judge, questions=2)
    campaign.run()
    lines = [line for line in read_lines(log) if line["user"] != "supervisor"]
    assert len(lines) == 10 * 4
    # One more where the batch asks an idle judge whether its engine lives.
    assert 10 <= max(line["open"] for line in lines) <= 21
