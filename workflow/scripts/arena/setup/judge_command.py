"""The command that serves the judge: a template, its values, and what can be read off it."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.support.errors import ConfigError
from arena.support.names import did_you_mean

SCRIPTS = Path(__file__).resolve().parents[2]
# $ before a brace is the shell's own; doubled braces stand for themselves
_PLACEHOLDER = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z_]+)\}")
DEFAULT_COMMANDS = {
    # The last option lets the usage of a reply say how many prompt tokens came from the cache.
    "vllm": "vllm serve {path} --served-model-name {name} --host {host} --port {port} "
    "--tensor-parallel-size {gpus} --enable-prefix-caching --enable-prompt-tokens-details "
    "{options}",
    "demo": f"{shlex.quote(sys.executable)} {shlex.quote(str(SCRIPTS / 'demo_judge.py'))} "
    "--name {name} --host {host} --port {port} {options}",
}


def command_of(judge: Mapping[str, Any]) -> str:
    """The template in use: the user's, or the default of the server's kind."""
    return judge.get("command") or DEFAULT_COMMANDS[judge["server"]]


def fill(template: str, values: Mapping[str, Any], block: str = "judge") -> str:
    """Put shell-quoted values in place of `{path} {name} {host} {port} {gpus} {options}`.

    `${VAR}` is left to the shell, `{{` and `}}` are braces. ConfigError for one without a value.
    """

    def value(match: re.Match) -> str:
        if (name := match[1]) is None:
            return match[0][0]
        if name not in values:
            raise ConfigError(
                f"{block}.command: unknown placeholder {{{name}}} (known: {', '.join(values)}; a "
                f"brace of your own is written twice){did_you_mean(name, values)}"
            )
        if values[name] is None:
            raise ConfigError(f"{block}.{name} is not set, and the command asks for {{{name}}}")
        value = values[name]
        return shlex.join(value) if isinstance(value, list) else shlex.quote(str(value))

    return _PLACEHOLDER.sub(value, template)


def script_of(
    judge: Mapping[str, Any], port: int, gpus: int, host: str = "127.0.0.1", block: str = "judge"
) -> str:
    """The lines that bash runs: the user's setup, then the command.

    Raises ConfigError as `fill` does, and where the command does not say where to listen.
    """
    values = {"path": judge.get("path"), "name": judge["name"], "host": host, "port": port}
    values |= {"gpus": gpus, "options": list(judge.get("options") or ())}
    command = fill(command_of(judge), values, block)
    if not any(address in command for address in (host, "127.0.0.1", "localhost")):
        raise ConfigError(
            f"{block}.command: {{host}} is missing, and without it the server may listen to the "
            "whole network. Give it as its address, such as --host {host}"
        )
    return f"set -eo pipefail\n{judge.get('setup') or ''}\n{command.rstrip()}\n"


# What a game has of the cache to itself: about half of its 2,200 prompt tokens (390 million in
# 175,500 games), as a batch's models hold the rest together, and up to 800 of reply. Where nothing
# is shared, a third of the open requests waits in the server, which costs nothing.
GAME_TOKENS = 2000
USUAL_SLOTS = 256  # vLLM's --max-num-seqs, where none is given, on most GPUs
OVER = 1.5  # requests open for one that runs, so that the next begins without waiting for us


def parallel_of(slots: int | None, cache_tokens: int | None = None) -> int | None:
    """Requests to keep open at a server that runs `slots` games, or as many as its cache holds."""
    if slots is None and cache_tokens is None:
        return None
    room = cache_tokens // GAME_TOKENS if cache_tokens else USUAL_SLOTS
    return max(8, int(OVER * min(slots or USUAL_SLOTS, max(room, 1))))


def slots_of(judge: Mapping[str, Any]) -> int | None:
    """Games that the server runs at a time, where its command says so."""
    slots = re.search(r"--max[-_]num[-_]seqs[= ]+(\d+)", command_of(judge))
    return int(slots[1]) if slots else None
