"""The command that serves the judge: its template, and what the template says about the server."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.support.errors import ConfigError
from arena.support.names import did_you_mean

SCRIPTS = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"  # that a server listens on; the client asks it there
# ${...} belongs to the shell; doubled braces are literal braces
_PLACEHOLDER = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z_]+)\}")
DEFAULT_COMMANDS = {
    # --enable-prompt-tokens-details: replies then report the prompt tokens found in the cache.
    "vllm": "vllm serve {path} --served-model-name {name} --host {host} --port {port} "
    "--tensor-parallel-size {gpus} --enable-prefix-caching --enable-prompt-tokens-details "
    "{options}",
    "demo": f"{shlex.quote(sys.executable)} {shlex.quote(str(SCRIPTS / 'demo_judge.py'))} "
    "--name {name} --host {host} --port {port} {options}",
}


def command_of(judge: Mapping[str, Any]) -> str:
    """The template: the user's, else the default for this kind of server."""
    return judge.get("command") or DEFAULT_COMMANDS[judge["server"]]


def fill(template: str, values: Mapping[str, Any], block: str = "judge") -> str:
    """Replace `{path} {name} {host} {port} {gpus} {options}` by shell-quoted values.

    `${VAR}` is left to the shell, `{{` and `}}` are braces. Raises ConfigError for a placeholder
    without a value.
    """

    def value(match: re.Match) -> str:
        if (name := match[1]) is None:
            return match[0][0]
        if name not in values:
            raise ConfigError(
                f"{block}.command: unknown placeholder {{{name}}} (known: {', '.join(values)}; "
                f"write {{{{ and }}}} for literal braces){did_you_mean(name, values)}"
            )
        if (given := values[name]) is None:
            raise ConfigError(f"{block}.{name} is not set, but the command contains {{{name}}}")
        return shlex.join(given) if isinstance(given, list) else shlex.quote(str(given))

    return _PLACEHOLDER.sub(value, template)


def script_of(judge: Mapping[str, Any], port: int, gpus: int, block: str = "judge") -> str:
    """The lines that bash runs: the user's setup, then the command.

    Raises ConfigError as `fill` does, and if the command does not set the address to listen on.
    """
    values = {"path": judge.get("path"), "name": judge["name"], "host": HOST, "port": port}
    values |= {"gpus": gpus, "options": list(judge.get("options") or ())}
    command = fill(command_of(judge), values, block)
    if not any(address in command for address in (HOST, "localhost")):
        raise ConfigError(
            f"{block}.command: {{host}} is missing. Without it the server may listen on all "
            "network interfaces. Add it, for example as --host {host}"
        )
    return f"set -eo pipefail\n{judge.get('setup') or ''}\n{command.rstrip()}\n"


# Cache that a game does not share: about half of its 2,200 prompt tokens (390 million in 175,500
# games), since the models of a batch share the rest, and up to 800 of reply. If nothing is shared,
# a third of the open requests is queued in the server, which costs nothing.
GAME_TOKENS = 2000
USUAL_SLOTS = 256  # vLLM's default of --max-num-seqs on most GPUs
OVER = 1.5  # open requests per running one, so that the server never waits for the client


def parallel_of(slots: int | None, cache_tokens: int | None = None) -> int | None:
    """Requests to keep in flight at a server that runs `slots` games, or as many as its cache fits.

    None if neither is known.
    """
    if slots is None and cache_tokens is None:
        return None
    room = cache_tokens // GAME_TOKENS if cache_tokens else USUAL_SLOTS
    return max(8, int(OVER * min(slots or USUAL_SLOTS, max(room, 1))))


def slots_of(judge: Mapping[str, Any]) -> int | None:
    """Games that the server runs at a time (--max-num-seqs of its command); None if not given."""
    slots = re.search(r"--max[-_]num[-_]seqs[= ]+(\d+)", command_of(judge))
    return int(slots[1]) if slots else None
