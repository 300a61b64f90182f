"""Lines as Arena-Hard-Auto writes them, from one endpoint with fixed replies.

The expected lines are written out from FORMATS.md, key by key in its order; the last two keys of a
line are ours.
"""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from arena.data import answer_requests
from arena.data.answer_requests import AnswerSettings, answer_line
from arena.data.metadata import token_counter
from arena.data.questions import Question
from arena.journals.journal import Record
from arena.support.http import HttpClient

from tests.web import Reply, serve

# Prompt -> content of the reply; null is what a reasoning parser leaves where there is no answer.
REPLIES = {
    "Greet.": "Hello, world!",
    "What pulls the sea?": "<think>\n# Moon?\nor **sun**\n</think>\n\n# Tides\n\n1. the moon\n2. "
    "the **sun**\n\n- `x`\n```\n# no header\n```\n## So __both__",
    "Say nothing.": None,
}
NO_COUNTS = {
    "header_count": {"h1": 0, "h2": 0, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
    "list_count": {"ordered": 0, "unordered": 0},
    "bold_count": {"**": 0, "__": 0},
}
LINES = [
    {
        "uid": "q1",
        "ans_id": "id1",
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Greet."},
            {"role": "assistant", "content": {"answer": "Hello, world!"}},
        ],
        "tstamp": 1735689601.25,
        "metadata": {"token_len": 4, **NO_COUNTS},
        "finish_reason": "stop",
        "usage": {"prompt": 11, "completion": 4},
    },
    {
        "uid": "q2",
        "ans_id": "id2",
        "model": "m",
        "messages": [
            {"role": "user", "content": "What pulls the sea?"},
            {
                "role": "assistant",
                "content": {
                    "answer": "# Tides\n\n1. the moon\n2. the **sun**\n\n- `x`\n```\n# no header\n"
                    "```\n## So __both__",
                    "thought": "<think>\n# Moon?\nor **sun**\n",
                },
            },
        ],
        "tstamp": 1735689602.25,
        "metadata": {
            "token_len": 30,  # the estimate; 4 and 0 are exact
            "header_count": {"h1": 1, "h2": 1, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
            "list_count": {"ordered": 2, "unordered": 1},
            "bold_count": {"**": 1, "__": 1},
        },
        "finish_reason": "stop",
        "usage": {"prompt": 11, "completion": 4},
    },
    {
        "uid": "q3",
        "ans_id": "id3",
        "model": "m",
        "messages": [
            {"role": "user", "content": "Say nothing."},
            {"role": "assistant", "content": {"answer": ""}},
        ],
        "tstamp": 1735689603.25,
        "metadata": {"token_len": 0, **NO_COUNTS},
        "finish_reason": "stop",
        "usage": {"prompt": 11, "completion": 4},
    },
]


@pytest.fixture(autouse=True)
def estimated_tokens(tmp_path, monkeypatch):
    """Count tokens by the estimate, wherever the tests run, and make ids short."""
    monkeypatch.setattr(answer_requests, "answer_id", lambda _, digest: f"id{digest}")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    token_counter.cache_clear()
    yield
    token_counter.cache_clear()


async def endpoint(request):
    """OpenAI's chat completions with the fixed reply to the last message."""
    content = REPLIES[json.loads(request.body)["messages"][-1]["content"]]
    message = {"role": "assistant", "content": content}
    usage = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return Reply(200, {"object": "chat.completion", "choices": [choice], "usage": usage})


async def answered(url, client, question, number, system_prompt):
    settings = AnswerSettings("m", "w", {}, system_prompt, end_think_token="</think>")
    (game,) = settings.games([question])
    body = settings.request(game)
    reply = json.loads((await client.call(f"{url}/chat/completions", body=body, timeout=20)).body)
    choice, usage = reply["choices"][0], reply["usage"]
    record = Record(
        digest=str(number),
        uid=question.uid,
        game=0,
        state="ok",
        label="answer",
        answer=choice["message"]["content"],
        finish_reason=choice["finish_reason"],
        usage={key: usage[f"{key}_tokens"] for key in ("prompt", "completion")},
        attempts=1,
        seconds=1.0,
        time=datetime.fromtimestamp(1735689600.25 + number, UTC).isoformat(),
        reason=None,
    )
    return answer_line(settings, question, record, "m")


async def answer_all():
    runner, port = await serve(endpoint)
    client = HttpClient()
    try:
        return [
            await answered(
                f"http://127.0.0.1:{port}/v1",
                client,
                Question(f"q{number}", "hard_prompt", prompt, number),
                number,
                "Be brief." if number == 1 else None,
            )
            for number, prompt in enumerate(REPLIES, start=1)
        ]
    finally:
        await client.close()
        await runner.cleanup()


def test_lines_key_by_key_and_in_order():
    lines = asyncio.run(answer_all())
    assert lines == LINES
    assert [json.dumps(line) for line in lines] == [json.dumps(line) for line in LINES]
