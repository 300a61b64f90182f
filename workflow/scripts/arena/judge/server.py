"""A judge server for one batch, of any kind: what rule judge_server runs."""

import asyncio
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arena.client.deadline import job_end
from arena.judge.endpoints import check, endpoints
from arena.judge.process import Process, say, stop_asked
from arena.judge.launch import capacity, environment, gpu_count, parallel_of, script_of, slots_of
from arena.judge.server_records import (
    BatchRecord,
    FailedStart,
    is_gone,
    now,
    retire,
    server_entry,
    why_stopped,
    write_private,
)
from arena.judge.supervisor import Limits, Supervisor
from arena.support.errors import ArenaError

NOTHING = "exec sleep 2147483647"  # s; macOS knows no infinity


def serve_batch(
    batch: Mapping[str, Any], server_file: Path, logs: Path, limits: Mapping[str, float]
) -> int:
    """Serve a batch's judge until told to stop; the exit status.

    Parameters
    ----------
    batch
        Content of `batches/<batch>.json`.
    limits
        Fields of `Limits`, before those of the batch file.

    Raises
    ------
    ArenaError
        Where the settings do not allow to serve at all. batch.json has it as the cause.
    """
    judge = batch["judge"]
    patience = {"restarts": judge.get("max_restarts"), "start": judge.get("ready_minutes")}
    if patience["start"] is not None:
        patience["start"] *= 60
    given = {key: value for key, value in patience.items() if value is not None} | dict(limits)
    gpus = gpu_count(batch.get("resources") or {})
    record = BatchRecord(
        logs / "batch.json",
        batch["batch"],
        gpus,
        logs / "server.log",
        judge=judge["name"],
        server=judge["server"],
    )
    try:
        if judge["server"] == "external":
            return asyncio.run(_serve_external(judge, server_file, record))
        key = secrets.token_urlsafe(32)
        can = capacity(judge)
        script_of(judge, 0, max(1, gpus))  # a mistake in the template is an error at once
        supervisor = Supervisor(
            judge,
            key,
            lambda port: script_of(judge, port, max(1, gpus)),
            environment(judge, key),
            server_file,
            record,
            FailedStart(Path(batch["root"]), batch["run"]),
            priority=can["priority"],
            limits=Limits(**given),
        )

        def announce(url: str, cache_tokens: int | None) -> None:
            if cache_tokens:
                can["parallel"] = parallel_of(slots_of(judge), cache_tokens)
                can["cache_tokens"] = cache_tokens
                say(f"a cache of {cache_tokens} tokens: {can['parallel']} requests open")
            write_private(server_file, server_entry(url, key, can))

        return asyncio.run(supervisor.run(announce))
    except ArenaError as error:
        record.ended(str(error))
        raise


async def _serve_external(judge: Mapping[str, Any], server_file: Path, record: BatchRecord) -> int:
    """Hand the clients the addresses and keys of judges that run elsewhere."""
    served = endpoints(judge)
    first = served[0]
    # A keeper with nothing to keep: if we are killed, it takes the keys off the disk.
    keeper = await Process.launch(
        NOTHING, os.environ, first["key"], record.path, server_file, grace=0
    )
    entry = server_entry(first["url"], first["key"], capacity(judge), endpoints=served)
    write_private(server_file, entry)
    end = await asyncio.to_thread(job_end)
    stop = asyncio.create_task(stop_asked(Limits.parent, lambda: is_gone(server_file)))
    try:
        for endpoint in served:
            # Said, not enforced: clients find out themselves, and an endpoint may yet come up.
            say(await asyncio.to_thread(check, endpoint))
        record.note(launched=now(), ready=now())
        record.ended(await stop or await asyncio.to_thread(why_stopped, end))
    finally:
        retire(server_file)
        await keeper.end()
    return 0
