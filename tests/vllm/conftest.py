"""The genuine vLLM (CPU build), started by the workflow's own judge server.

Built by tests/vllm/install.sh (`make test-vllm`); without it these tests are skipped.
"""

import sys

import pytest
from arena.setup.judge_command import DEFAULT_COMMANDS

from tests.conftest import PROJECT

ENV = PROJECT / ".venv-vllm"
# On a CPU: no compilation, which takes minutes, and a gigabyte of cache instead of most of memory.
SLOTS = 16  # games at a time
ON_CPU = f" --enforce-eager --dtype bfloat16 --max-num-seqs {SLOTS}"


@pytest.fixture(scope="session", autouse=True)
def built_vllm() -> None:
    if not sys.platform.startswith("linux") or not list(ENV.glob("installed-*")):
        pytest.skip("no vLLM here: make test-vllm builds it")


def judge(model: str, options: str = "", cache_gib: int = 1) -> dict[str, object]:
    """`judge` of a config: vLLM by its default command, with what a CPU needs."""
    return {
        "server": "vllm",
        "path": str(ENV / "models" / model),
        "setup": f"source {ENV}/bin/activate",
        "command": f"{DEFAULT_COMMANDS['vllm']}{ON_CPU} {options}",
        "env": {"VLLM_CPU_KVCACHE_SPACE": str(cache_gib), "HF_HUB_OFFLINE": "1"},
        "ready_minutes": 8,
    }
