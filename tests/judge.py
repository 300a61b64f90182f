"""The tests' judge: `python tests/judge.py --port 8000`. The demo judge, made slow, faulty and
ill-behaved on demand.

Faults are chosen by the request: see `tests/faults.py`. `--request-log` writes a line a call:
times, status, fault, digest of the messages, calls open. GET `/metrics` has some figures under
vLLM's names.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow" / "scripts"))

import demo_judge
from arena.demo.server import BLOCK, DemoJudge, error, limit_of
from arena.demo.toys import count_tokens

from tests.faults import LASTING, PASSING, Fault, Faults, message_digest, shaped

LAST_WORDS = {  # what vLLM prints before it ends with status 1
    "oom": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB.",
    "cache": "ValueError: No available memory for the cache blocks.",
    "path": "OSError: /no/such/weights is not a local folder and is not a valid model identifier.",
    "crash": "RuntimeError: Engine core initialization failed. See root cause above.",
    "quiet": "",
}


class Judge(DemoJudge):
    """The demo judge with faults, a log and figures."""

    def __init__(self, args: argparse.Namespace, faults: Faults) -> None:
        key = os.environ.get("VLLM_API_KEY")
        super().__init__(args.name, key, args.seconds, args.slots, args.writes)
        self.args, self.faults = args, faults
        self.log = args.request_log
        if self.log:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        self.open = self.running = 0  # calls that wait or run, and that run
        self.begun = 0  # games, for --hold
        self.figures = {"prompt_tokens_total": 0, "generation_tokens_total": 0}
        self.dead_engine: str | None = None  # "health" (all fails) or "api" (health stays 200)
        self.hung = False

    def app(self) -> web.Application:
        app = super().app()
        app.router.add_get("/metrics", self.metrics)
        app.middlewares.append(self._unless_hung)
        app.on_startup.append(self._listen_to_signals)
        return app

    @web.middleware
    async def _unless_hung(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.hung:
            await asyncio.Event().wait()
        return await handler(request)

    async def _listen_to_signals(self, _: web.Application) -> None:
        def asked_to_stop() -> None:
            if not (self.args.clingy and self.open):
                raise web.GracefulExit

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked_to_stop)

    async def health(self, _: web.Request) -> web.Response:
        return web.Response(status=500 if self.dead_engine == "health" else 200)

    async def metrics(self, _: web.Request) -> web.Response:
        figures = self.figures | {"num_requests_running": self.running}
        label = f'{{model_name="{self.name}"}}'
        lines = [f"vllm:{name}{label} {float(value)}\n" for name, value in figures.items()]
        blocks = f'block_size="{BLOCK}",num_gpu_blocks="{self.args.cache_tokens // BLOCK}"'
        return web.Response(text="".join([*lines, f"vllm:cache_config_info{{{blocks}}} 1.0\n"]))

    def digest(self, asked: dict[str, Any]) -> str:
        """The name of a request in the logs: all models that write are asked the same."""
        return message_digest(asked["messages"], asked["model"] if self.writes else "")

    async def play(
        self, request: web.Request, asked: dict[str, Any], prompt: str, user: str
    ) -> web.StreamResponse:
        digest = self.digest(asked)
        self.open += 1
        entry = {"in": time.time(), "out": None, "status": None, "fault": None, "digest": digest}
        entry |= {"user": asked.get("user"), "open": self.open}
        try:
            # The question whether the engine lives is no game.
            struck = not self.dead_engine and asked.get("user") != "supervisor"
            fault = self.faults.strike(digest, user) if struck else None
            entry["fault"] = fault and fault.kind
            async with self.slot:
                self.running += 1
                try:
                    if self.args.hold and asked.get("user") != "supervisor":
                        await self._hold()
                    reply = await self._reply(request, asked, prompt, fault)
                finally:
                    self.running -= 1
            entry["status"] = reply.status
            return reply
        except ConnectionError:  # the fault's own
            return web.Response()
        finally:
            self.open -= 1
            if self.log:
                with self.log.open("a") as log:
                    log.write(json.dumps(entry | {"out": time.time()}) + "\n")

    async def _hold(self) -> None:
        self.begun += 1
        number, (free, file) = self.begun, self.args.hold
        while number > int(free) and not Path(file).exists():
            await asyncio.sleep(0.05)

    async def _reply(
        self, request: web.Request, asked: dict[str, Any], prompt: str, fault: Fault | None
    ) -> web.StreamResponse:
        if self.dead_engine:
            return error(500, "internal_server_error", "the engine is dead")
        tokens, limit = count_tokens(prompt), limit_of(asked)
        cached = self.cached_tokens(prompt) if self.args.cache_tokens else 0
        await asyncio.sleep(self.seconds)
        kind = fault.kind if fault else ""
        if kind in PASSING and kind not in ("slow", "late", "cut"):
            return await broken(self, request, fault)
        if kind in LASTING and (refused := refusal(kind, tokens, limit)):
            return refused
        message, reason = shaped(self.text(asked, asked["messages"][-1]["content"]), kind)
        shown = message.get("content") or message.get("reasoning_content") or ""
        if kind in ("length", "longwinded", "tool", "huge"):
            limit = len(shown)
        reply = self.completion(asked, prompt, shown, limit, cached)
        choice = reply["choices"][0]
        if choice["finish_reason"] == "stop":
            choice |= {"message": message, "finish_reason": reason}
        self.figures["prompt_tokens_total"] += tokens
        self.figures["generation_tokens_total"] += reply["usage"]["completion_tokens"]
        if kind == "nousage":
            del reply["usage"]
        if kind in ("slow", "cut"):
            return await trickle(request, fault, json.dumps(reply).encode())
        if kind == "late":
            await asyncio.sleep(fault.number(1))
        return web.json_response(reply)


def too_long(context: int, tokens: int, limit: int) -> web.Response:
    """vLLM's answer to a prompt over the context."""
    message = (
        f"This model's maximum context length is {context} tokens. However, you requested {limit} "
        f"output tokens and your prompt contains at least {tokens} input tokens."
    )
    return error(400, "BadRequestError", message, param="input_tokens")


def refusal(kind: str, tokens: int, limit: int) -> web.Response | None:
    """The 400s that end a game; None for a fault that is none of them."""
    if kind == "too_long":
        return too_long(tokens // 2, tokens, limit)
    context = f"This model's maximum context length is {tokens // 2} tokens."
    said = {
        "toolong_openai": (context, "messages", "context_length_exceeded"),
        "filter": ("The prompt was filtered.", "prompt", "content_filter"),
    }
    if kind not in said:
        return None
    message, param, code = said[kind]
    return error(400, "invalid_request_error", message, param=param, code=code)


async def trickle(request: web.Request, fault: Fault, body: bytes) -> web.StreamResponse:
    """Send a reply in ten pieces over the fault's seconds, or only its first half."""
    reply = web.StreamResponse(headers={"Content-Length": str(len(body)), "Connection": "close"})
    await reply.prepare(request)
    if fault.kind == "cut":
        await reply.write(body[: len(body) // 2])
        request.transport.close()
        return reply
    size = -(-len(body) // 10)
    for start in range(0, len(body), size):
        await asyncio.sleep(fault.number(2) / 10)
        await reply.write(body[start : start + size])
    return reply


async def broken(judge: Judge, request: web.Request, fault: Fault) -> web.Response:
    """What is left of a call whose connection, judge or engine fails."""
    match fault.kind:
        case "429" | "500" | "503":
            reply = error(int(fault.kind), "injected", f"injected fault {fault.kind}")
            if fault.kind == "429":
                reply.headers["Retry-After"] = f"{fault.number(1):g}"
            return reply
        case "garbage":
            return web.Response(text="\x00{]] this is no JSON", content_type="application/json")
        case "html":
            return web.Response(
                status=502, text="<html><body><h1>502 Bad Gateway</h1></body></html>"
            )
        case "engine":
            judge.dead_engine = "api" if fault.value == "api" else "health"
            return error(500, "internal_server_error", "the engine is dead")
        case "die":
            os._exit(int(fault.number(1)))
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            judge.hung = True
            await asyncio.Event().wait()
        case "reset":
            request.transport.abort()
        case "stall":
            await asyncio.sleep(fault.number(3600))
            if request.transport:  # the client may have gone
                request.transport.close()
    raise ConnectionResetError


def arguments() -> argparse.Namespace:
    parser = demo_judge.parser()
    add = parser.add_argument
    add(
        "--cache-tokens",
        type=int,
        default=200_000,
        help="that vLLM's figures name; 0: nothing is cached",
    )
    add("--request-log", type=Path, help="JSONL, a line a call")
    add("--fault-log", type=Path, help="JSONL, a line a fault; read back at start")
    held = "plays so many games, and others only when there is this file"
    add("--hold", nargs=2, metavar=("GAMES", "FILE"), help=held)
    add("--load-seconds", type=float, default=0.0, help="refuses connections for so long")
    add("--fail", choices=LAST_WORDS, help="ends while it loads")
    add("--exit-status", type=int, default=1, help="of --fail")
    add("--deaf", action="store_true", help="ignores SIGTERM while it loads")
    add("--clingy", action="store_true", help="ignores SIGTERM while a call is open")
    # vLLM's options, of a writer of answers
    add("--served-model-name", help="writes answers under this name")
    add("--lora-modules", nargs="+", default=[], help="NAME=PATH or JSON: and under these")
    add("--enable-lora", action="store_true")
    for name in ("--max-loras", "--max-lora-rank", "--chat-template"):
        add(name, help="taken, and of no effect")
    add("--litter", action="store_true", help="leaves a process in a session of its own")
    args = parser.parse_args()
    if args.served_model_name:
        args.writes = [args.served_model_name, *map(name_of, args.lora_modules)]
    return args


def name_of(module: str) -> str:
    """As vLLM reads a value of --lora-modules: of NAME=PATH, no second `=` is allowed."""
    if "=" in module and "," not in module:
        name, _ = module.split("=")
        return name
    return json.loads(module)["name"]


def main(judge: type[Judge] = Judge, faults: type[Faults] = Faults) -> None:
    """Load as the options say, then serve."""
    args = arguments()
    if args.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf to SIGTERM", flush=True)
    if args.litter:
        deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True)
        print(f"started worker {child.pid}", flush=True)
    time.sleep(args.load_seconds)  # as weights take time: nothing listens meanwhile
    if args.fail:
        print(LAST_WORDS[args.fail], file=sys.stderr)
        sys.exit(args.exit_status)
    served = judge(args, faults(args.fault_log))
    demo_judge.serve(served.app(), args.host, args.port)


if __name__ == "__main__":
    main()
