"""What each kind of answer from a judge means: one row of the table a case."""

import json

import pytest
from arena.client.replies import read_reply, read_status
from arena.journals.journal import Outcome
from arena.support.http import Failure
from test_games import settings

SETTINGS = settings()
THOUGHT = "<think>[[A>B]]</think>"


def reply(content="so [[A>B]]", finish="stop", usage=None, **message) -> bytes:
    choice = {"index": 0, "message": {"content": content, **message}, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


def read(body: bytes) -> Outcome:
    return read_reply(body, SETTINGS)


def end(status: int, body: bytes) -> str:
    """The kind of the failure, or the state."""
    try:
        outcome = read(body) if status == 200 else read_status(status, {}, body)
    except Failure as failure:
        return failure.kind
    assert outcome.is_refusal
    assert outcome.reason
    return outcome.state


def test_a_good_reply():
    usage = {"prompt_tokens": 30, "completion_tokens": 4}
    usage["prompt_tokens_details"] = {"cached_tokens": 16}
    assert read(reply(usage=usage)) == Outcome(
        "ok", "A>B", "so [[A>B]]", "stop", {"prompt": 30, "cached": 16, "completion": 4}, None
    )


@pytest.mark.parametrize(
    ("body", "end", "answer", "reason"),
    [
        (reply("who knows"), "unparsed", "who knows", "no verdict in the reply"),
        (reply("[[A>>A]]"), "unparsed", "[[A>>A]]", "no verdict in the reply"),
        (reply("\n\n"), "unparsed", "\n\n", "an empty reply"),
        (reply(None), "unparsed", "", "an empty reply"),
        (reply("cut off", "length"), "truncated", "cut off", "reached max_tokens"),
        (reply("[[B>A]] and on", "length"), "ok B>A", "[[B>A]] and on", None),
        (reply(None, reasoning_content="[[A>B]]"), "unparsed", "<think>[[A>B]]", "only reasoning"),
        (reply(None, reasoning="a </think>"), "unparsed", "<think>a </ think>", "only reasoning"),
        (reply(None, "length", reasoning="hm"), "truncated", "<think>hm", "reached max_tokens"),
        (reply("[[B>A]]", reasoning_content="[[A>B]]"), "ok B>A", "[[B>A]]", None),
        (reply(f"{THOUGHT}[[B>>A]]"), "ok B>>A", f"{THOUGHT}[[B>>A]]", None),
        (reply(f"{THOUGHT}\n"), "unparsed", f"{THOUGHT}\n", "only reasoning"),
        (reply("<think>[[A>B]]", "length"), "truncated", "<think>[[A>B]]", "reached max_tokens"),
        (reply(None, "tool_calls", tool_calls=[{"id": "1"}]), "unparsed", "", "called a tool"),
        (reply(None, refusal="I cannot."), "rejected", "I cannot.", "refused: I cannot."),
        (reply("so", "content_filter"), "rejected", "so", "content filter"),
        (reply([{"type": "text", "text": "[[A=B]]"}]), "ok A=B", "[[A=B]]", None),
        *(
            (reply([thought, {"text": "so"}]), "unparsed", "so", "no verdict")
            for thought in (
                {"type": "reasoning", "text": "[[A>B]]"},
                {"type": "thinking", "thinking": "[[A>B]]", "text": "[[A>B]]"},
                {"thought": True, "text": "[[A>B]]"},
            )
        ),
        (reply(None, thinking="hm [[A>B]]"), "unparsed", "<think>hm [[A>B]]", "only reasoning"),
        (reply("\ud800[[A=B]]"), "ok A=B", "\ufffd[[A=B]]", None),
        (reply("[[A=B]]", None), "ok A=B", "[[A=B]]", None),
        (reply("[[A=B]]", {"odd": 1}), "ok A=B", "[[A=B]]", None),
        (reply("[[A=B]]", reasoning={"odd": 1}), "ok A=B", "[[A=B]]", None),
        (reply([{"text": "[[A=B]]"}, {"text": 7}, None]), "ok A=B", "[[A=B]]", None),
        (reply(None, refusal={"why": 1}), "rejected", '{"why": 1}', 'refused: {"why": 1}'),
        (reply("x[i] a[b] " * 9), "unparsed", "x[i] a[b] " * 9, "no verdict"),
    ],
)
def test_replies(body, end, answer, reason):
    """end: the state, and the label where there is one."""
    outcome = read(body)
    assert (" ".join(filter(None, (outcome.state, outcome.label))), outcome.answer) == (end, answer)
    assert reason in outcome.reason if reason else outcome.reason is None


FILTERED = (
    *("SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "refusal", "sensitive"),
    *("content_filter: PROHIBITED_CONTENT", "content_filtered", "guardrail_intervened"),
)


@pytest.mark.parametrize(
    ("finish", "state", "kept"),
    [
        *((word, "rejected", "content_filter") for word in FILTERED),
        *((word, "truncated", "length") for word in ("MAX_TOKENS", "max_tokens", "model_length")),
        ("STOP", "unparsed", "stop"),
        ("end_turn", "unparsed", "end_turn"),
    ],
)
def test_ends_of_other_apis(finish, state, kept):
    outcome = read(reply("so far", finish))
    assert (outcome.state, outcome.finish_reason, outcome.answer) == (state, kept, "so far")


def test_a_filtered_reply_may_have_no_message():
    body = json.dumps({"choices": [{"finish_reason": "SAFETY", "index": 0}]}).encode()
    assert read(body).state == "rejected"
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "choices": []}
    assert read(json.dumps(blocked).encode()).state == "rejected"
    assert read(reply("[[A>B]]", "MAX_TOKENS")).label == "A>B"


FAILED = {"message": {"content": ""}, "finish_reason": "error", "error": {"code": 402}}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "Insufficient credits", "code": 402}}, "fatal"),
        ({"error": {"message": "no", "code": "429"}, "choices": []}, "throttled"),
        ([{"error": {"message": "invalid key", "code": 401}}], "fatal"),
        ({"error": "upstream went away"}, "broken"),
        ({"object": "error", "message": "gone", "code": 404}, "fatal"),
        ({"choices": [FAILED]}, "fatal"),
        ({"error": {"type": "exceed_context_size_error", "code": 400}}, "too_long"),
    ],
)
def test_an_error_with_status_200_is_what_it_says(body, kind):
    assert end(200, json.dumps(body).encode()) == kind


def test_a_web_page_points_to_the_address():
    with pytest.raises(Failure, match="/v1") as caught:
        read(b"<!doctype html><title>Open WebUI</title>")
    assert caught.value.kind == "broken"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\0{]] no JSON", b"[]", b'"text"', b"null", b"{}", b"[" * 100_000),
        *(b'{"choices": []}', b'{"choices": [{}]}'),
        b'{"choices": null, "error": {"message": "upstream", "code": 502}}',
        reply(17),
        *(reply("half")[:40], reply("aborted", "abort"), reply("broke", "error")),
        *(reply("I think that A", None), reply(None, None)),
    ],
)
def test_what_is_no_reply_is_asked_again(body):
    with pytest.raises(Failure) as caught:
        read(body)
    assert caught.value.kind == "broken"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("count", [None, "7", [7], {"n": 7}, 7.5, float("nan"), -7, True, 10**30])
def test_usage_that_is_no_number_of_tokens_is_unknown(count):
    none = {"prompt": 0, "cached": 0, "completion": 0}
    assert read(reply(usage=count)).usage == none
    odd = {"prompt_tokens": count, "prompt_tokens_details": count, "completion_tokens": 3}
    assert read(reply(usage=odd)).usage == none | {"completion": 3}
    assert read(reply(usage={"prompt_tokens_details": {"cached_tokens": count}})).usage == none


def error(message="no", **more) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


GEMINI = "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
TOO_LONG = (
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 65537. Given: 79993",
    "Input validation error: `inputs` must have less than 2048 tokens. Given: 2222",
    "request (25837 tokens) exceeds the available context size (25088 tokens), try increasing it",
    "request (53192 tokens) exceeds context size (50176 tokens)",
    "Requested tokens (2285) exceed context window of 2048",
    "The model returned the following errors: Input is too long for requested model.",
    "litellm.ContextWindowExceededError: litellm.BadRequestError: x",
    "Prompt length (200) exceeds maximum input length (1).",
    "The sum of prompt length (9000) and query length should not exceed max_num_tokens (8192)",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081",
    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    "Prompt exceeds max length",
    "Range of input length should be [1, 30720]",
    "Invalid request: Your request exceeded model token limit: 8192",
    "invalid params, context window exceeds limit",
    "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
    GEMINI,
)
VLLM = (
    "This model's maximum context length is 2048 tokens. However, you requested 4096 output "
    "tokens and your prompt contains at least 1024 input tokens."
)


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (503, error("Loading model", type="unavailable_error"), "broken"),  # llama.cpp
        (503, b"<html>maintenance downtime or capacity problems", "broken"),
        (503, error("The engine is currently overloaded"), "throttled"),
        (429, error(), "throttled"),
        (529, b"overloaded", "throttled"),
        (429, error(code="insufficient_quota"), "fatal"),
        (401, error("Incorrect API key provided"), "fatal"),
        (403, b"", "fatal"),
        (500, error("EngineDeadError"), "broken"),
        (302, b"", "broken"),
        (403, error("Key limit exceeded (total limit). Manage it using https://x/keys"), "fatal"),
        (400, error("Your credit balance is too low to access the API."), "fatal"),
        (429, error("Insufficient Balance", code="1113"), "fatal"),
        (429, error("You exceeded your current quota, please check your plan"), "throttled"),
        (400, error("Budget has been exceeded! Current cost: 1", type="budget_exceeded"), "fatal"),
        (405, b'{"detail": "Method Not Allowed"}', "fatal"),
        (400, error("System role not supported"), "fatal"),
        (400, error("Conversation roles must alternate user/assistant/..."), "fatal"),
        (400, error("messages[0].role does not support 'system' with this model."), "fatal"),
        (400, error("Developer instruction is not enabled for models/gemma-3-27b-it"), "fatal"),
        (500, error("Only user, assistant and tool roles are supported, got system."), "fatal"),
        (400, error(VLLM), "too_long"),
        (400, error(param="input_tokens"), "too_long"),
        (400, error(code="context_length_exceeded", param="messages"), "too_long"),
        (400, json.dumps({"object": "error", "message": VLLM, "code": 400}).encode(), "too_long"),
        (413, b"", "too_long"),
        *((400, error(words), "too_long") for words in TOO_LONG),
        (400, b"[%s]" % error(GEMINI, code=400, status="X"), "too_long"),
        (400, error(json.dumps({"error": {"code": 400, "message": GEMINI}})), "too_long"),
        (400, error("Provider returned error", metadata={"raw": GEMINI}), "too_long"),
        (422, json.dumps({"error": TOO_LONG[0], "error_type": "validation"}).encode(), "too_long"),
        (400, error(code="content_filter"), "rejected"),
        (400, b"<html>", "rejected"),
        (400, error("flagged: 'What is the top priority of a nurse?'"), "rejected"),
        (403, error("no", code=403, metadata={"flagged_input": "x", "reasons": ["y"]}), "rejected"),
        (403, error("Your input was flagged by our moderation"), "rejected"),
        (451, error("no"), "rejected"),
        (422, json.dumps({"detail": [{"msg": "bad"}]}).encode(), "rejected"),
    ],
)
def test_what_another_status_means(status, body, what):
    assert end(status, body) == what


DATE = "Wed, 21 Oct 2026 07:27:43 GMT"  # of the response: the server's clock alone counts


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "86400"}, 120.0),
        ({"retry-after": "inf"}, 120.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": DATE}, 17.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "Thu, 22 Oct 2026 07:28:00 GMT", "date": DATE}, 120.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "soon", "date": DATE}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    with pytest.raises(Failure) as caught:
        read_status(429, headers, b"")
    assert caught.value.retry_after == seconds
