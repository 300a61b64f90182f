"""Habits of the real vLLM, each seen on the program itself, and what LocalJudge makes of it.

One server lives through all of them, in this order, because each start takes half a minute.
"""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from arena.judge.health import figure
from arena.setup.judge_command import parallel_of
from arena.support.processes import shared_memory

from tests.served import Served, eventually
from tests.vllm.conftest import SLOTS, judge

START = 600.0  # seconds, on two busy cores; 25 on free ones
BUSY = 300.0  # seconds for what takes a moment on a free machine
GRACE = 6.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("vllm")
    # Looks are so far apart that a death is noticed by the end of the API, not by its sick health.
    limits = {"grace": GRACE, "hang": START, "look": START, "engine": 5.0}
    served = Served(root, {"name": "toy"} | judge("tiny"), **limits)
    try:
        yield served.start()
        served.stop(60)
    finally:
        left = below(served)
        served.close()
        for process in left:
            with suppress(psutil.Error):
                process.kill()


def tree(served: Served) -> dict[int, str]:
    """pid -> title of everything below the program; titles hide vLLM's environment."""
    found = {}
    for process in below(served):
        with suppress(psutil.Error):  # it has ended meanwhile
            found[process.pid] = " ".join(process.cmdline())
    return found


def below(served: Served) -> list[psutil.Process]:
    """vLLM's own have overwritten the mark of tests."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(served.process.pid).children(recursive=True)
    return []


def part(served: Served, name: str) -> int:
    """pid of vLLM's API, engine or worker."""
    found = tree(served)
    return next(pid for pid, title in found.items() if name in title and "keeper" not in title)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def chat(served: Served, text: str, **more: object) -> tuple[int, dict]:
    body = {"model": "toy", "messages": [{"role": "user", "content": text}], "max_tokens": 4}
    return served.get("/v1/chat/completions", body=body | more)


def counted(served: Served, name: str) -> float | None:
    """One of vLLM's own figures."""
    return figure(served.get("/metrics")[1], name)


def again_ready(served: Served, restarts: int) -> str:
    eventually(lambda: len(served.restarts) == restarts, BUSY, "a restart")
    served.ready(START)
    return served.restarts[-1]


def test_refuses_connections_until_it_is_ready(served):
    seen = set()

    def is_ready() -> bool:
        seen.add(served.get()[0])
        return 200 in seen

    eventually(is_ready, START)
    assert seen == {0, 200}
    served.ready()
    assert served.get(key="guess")[0] == 401
    assert [model["id"] for model in served.get()[1]["data"]] == ["toy"]
    assert not any(served.told["key"] in command for command in tree(served).values())


def test_usage_and_metrics_tell_the_same_cached_tokens(served):
    text = "the same beginning of a long prompt " * 40
    before = counted(served, "prefix_cache_hits_total")
    first, second = (chat(served, text)[1]["usage"] for _ in range(2))
    assert first["prompt_tokens"] == second["prompt_tokens"] > 500
    assert first["prompt_tokens_details"]["cached_tokens"] < 16
    cached = second["prompt_tokens_details"]["cached_tokens"]
    # whole blocks, and never the last token, whose logits are needed
    assert second["prompt_tokens"] - 129 <= cached < second["prompt_tokens"]
    hits = before + cached + first["prompt_tokens_details"]["cached_tokens"]
    eventually(lambda: counted(served, "prefix_cache_hits_total") == hits, BUSY, "the same figure")


def test_a_prompt_over_the_context_is_a_400_with_the_parameters_name(served):
    status, reply = chat(served, "x y " * 10_000)
    assert (status, reply["error"]["param"]) == (400, "input_tokens")


def test_the_requests_to_keep_open_are_what_the_cache_has_room_for(served):
    """By vLLM's own words on its cache."""
    words = re.search(r"KV cache size: ([\d,]+) tokens", served.log)
    tokens = int(words[1].replace(",", ""))
    assert tokens > 10_000
    assert served.told["parallel"] == parallel_of(SLOTS, tokens)


def test_unknown_fields_are_ignored(served):
    assert chat(served, "a", no_such_field=1)[0] == 200


def test_the_question_for_one_token_goes_through(served):
    """Our own look at the engine, made on an idle server."""
    name = "generation_tokens_total"
    before = counted(served, name)
    eventually(lambda: counted(served, name) > before, BUSY, "a token that nobody else asked for")
    assert served.restarts == []


def test_kill_of_the_api_leaves_nothing_of_the_old_and_restarts(served):
    old = tree(served)
    api, engine = part(served, "vllm serve"), part(served, "VLLM::EngineCore")
    memory = shared_memory(old)
    assert memory  # vLLM's processes talk by it
    launches = served.log.count("launching ")
    os.kill(api, signal.SIGKILL)
    eventually(lambda: served.log.count("launching ") > launches, BUSY, "the next launch")
    assert not alive([engine])  # ended by us, and before: by itself it would live on
    cause = again_ready(served, 1)
    assert cause.startswith("killed by signal 9")
    assert not alive(list(old))
    assert not any(path.exists() for path in memory)
    assert chat(served, "a")[0] == 200


@pytest.mark.parametrize(("victim", "restarts"), [("VLLM::EngineCore", 2), ("VLLM::Worker", 3)])
def test_an_api_whose_engine_died_ends_with_status_0_and_is_restarted(served, victim, restarts):
    os.kill(part(served, victim), signal.SIGKILL)
    cause = again_ready(served, restarts)
    assert cause.startswith("exit status 0, but it was not stopped")
    assert chat(served, "a")[0] == 200


def test_sigterm_with_a_request_open_ends_it_and_all_its_processes(served):
    pids = list(tree(served))
    memory = shared_memory(pids)
    long = {"max_tokens": 8000, "min_tokens": 8000, "ignore_eos": True}

    def ask_on() -> None:
        """One request after the other, until one is cut: however quick the model, one is open."""
        while chat(served, "a", **long)[0] == 200:
            pass

    ask = threading.Thread(target=ask_on, daemon=True)
    ask.start()
    eventually(lambda: counted(served, "num_requests_running") == 1, BUSY, "an open request")
    assert served.stop(BUSY) == 0
    ask.join(BUSY)
    assert not ask.is_alive()
    assert not alive(pids)
    assert not any(path.exists() for path in memory)


def test_sigterm_while_loading_is_ignored_and_ends_it_all_the_same(served):
    served.start()
    eventually(lambda: "VLLM::EngineCore" in " ".join(tree(served).values()), START, "loading")
    os.kill(part(served, "VLLM::EngineCore"), signal.SIGSTOP)  # so it does not come to an end
    pids = list(tree(served))
    began = time.monotonic()
    assert served.stop(BUSY) == 0
    assert time.monotonic() - began > GRACE  # it ignored SIGTERM
    assert not alive(pids)
    assert (served.record["ready"], served.record["cause"]) == (None, None)
