"""A user's checkout of Arena-Hard-Auto is used as it is: settings, prompts, endpoints, data."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import KEY, Campaign, all_text, read_lines

BENCH = "arena-hard-v2.0"
CONFIG = """
bench: arena-hard-v2.0
arena_hard_dir: checkout
models: models.txt
judge: {}
"""
UTILS = """
WORDS = (
    "Compare them {as you like} "
    "and say which is better."
)
JUDGE_SETTINGS = {
    "hard_prompt": {"baseline": "llama-demo-8b", "system_prompt": WORDS},
    "creative_writing": {"baseline": "grand-70b-chat", "system_prompt": "Which has more life?"},
    "coding": {"baseline": "not-here", "system_prompt": WORDS},
}
"""


@pytest.fixture
def checkout(campaign: Campaign, endpoint: tuple[str, Path]) -> Path:
    """Shaped as Arena-Hard-Auto's, in words of our own, with the example's data."""
    url, _ = endpoint
    home = campaign.dir / "checkout"
    shutil.copytree(campaign.dir / "examples/data/arena-demo", home / "data" / BENCH)
    settings = {
        "judge_model": "served",
        "bench_name": BENCH,
        "temperature": 0.25,
        "max_tokens": 123,
        "reference": None,
        "regex_patterns": [r"\[\[([AB<>=]+)\]\]"],
        "prompt_template": "Asked: {QUESTION}\nFirst: {ANSWER_A}\nSecond: {ANSWER_B}",
        "model_list": ["mid-7b-chat"],
    }
    block = {"model": "served", "api_type": "openai", "parallel": 8}
    block["endpoints"] = [{"api_base": url, "api_key": KEY}]
    answering = {"model": "x", "endpoints": None, "api_type": "openai", "parallel": 1}
    models = ("mid-7b-chat", "tiny-1b-step8000")
    blocks = {"served": block} | dict.fromkeys(models, answering)
    for folder in ("config", "utils"):
        (home / folder).mkdir()
    (home / f"config/{BENCH}.yaml").write_text(yaml.safe_dump(settings))
    (home / "config/api_config.yaml").write_text(yaml.safe_dump(blocks))
    (home / "utils/judge_utils.py").write_text(UTILS)
    (campaign.dir / "models.txt").write_text(
        "# two of them\nmid-7b-chat\n\ntiny-1b-*8000 # by pattern\n"
    )
    (campaign.dir / "config/config.yaml").write_text(CONFIG)
    return home


def test_nothing_has_to_be_typed_again(campaign, checkout, endpoint):
    output = campaign.run().stdout
    folder = checkout / "data" / BENCH / "model_judgment/served"
    made = sorted(path.stem for path in folder.glob("*.jsonl"))
    assert made == ["mid-7b-chat", "tiny-1b-step8000"]
    lines = read_lines(folder / "mid-7b-chat.jsonl")
    assert {line["category"]: line["baseline"] for line in lines} == {
        "hard_prompt": "llama-demo-8b",
        "creative_writing": "grand-70b-chat",
    }
    system, user = lines[0]["games"][0]["prompt"]
    assert system["content"] == "Compare them {as you like} and say which is better."
    assert user["content"].startswith("Asked: ")
    _, log = endpoint
    assert len(read_lines(log)) == 48
    assert KEY not in output + all_text(campaign) + json.dumps(lines)
    table = (campaign.dir / "results" / BENCH / "served/leaderboard.csv").read_text()
    assert "creative_writing,grand-70b-chat,50.0" in table
    assert "hard_prompt,llama-demo-8b,50.0" in table
