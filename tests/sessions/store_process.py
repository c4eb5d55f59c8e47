"""A process of its own with a SQLiteSessionStore, told by its parent what to do.

Run as a script it reads one JSON object a line, {"method", "arguments"}, calls the store, and
prints {"answer"} or {"error"}; in between {"revoked": [key, reason]} whenever it is told of one.
A session goes over as its record. ``StoreProcess`` is the parent's side.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from clefstorm.errors import ClefStormError
from clefstorm.sealing import Sealer
from clefstorm.sessions import LoginSession, SQLiteSessionStore

DEADLINE = 20.0
_ROOT = Path(__file__).parents[2]


class StoreProcess:
    """A running process; ``revoked`` are the keys that it was told of, in order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._told = asyncio.Event()
        self.revoked: list[str] = []
        self.listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            said = json.loads(line)
            if "revoked" in said:
                self.revoked.append(said["revoked"][0])
                self._told.set()
            else:
                self._answers.put_nowait(said)

    async def told_of(self, key: str) -> list[str]:
        """Wait until the process was told of this key; return all that it was told of."""

        async def wait() -> None:
            while key not in self.revoked:
                self._told.clear()
                await self._told.wait()

        await asyncio.wait_for(wait(), DEADLINE)
        return self.revoked

    async def ready(self) -> None:
        assert await asyncio.wait_for(self._answers.get(), DEADLINE) == {"answer": "ready"}

    async def call(self, method: str, *positional: Any, **arguments: Any) -> Any:
        """Call the store over there; sessions come back as their keys."""
        given = [
            {"record": argument.to_record().decode()}
            if isinstance(argument, LoginSession)
            else argument
            for argument in positional
        ]
        request = {"method": method, "positional": given, "arguments": arguments}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        answer = await asyncio.wait_for(self._answers.get(), DEADLINE)
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["answer"]

    async def kill(self) -> None:
        """End it as a power switch would: nothing is closed, nothing is finished."""
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), DEADLINE)
        finally:
            if self._process.returncode is None:
                await self.kill()
            await self.listening


@asynccontextmanager
async def store_processes(path: Path, secret: bytes, count: int) -> AsyncIterator[list[Any]]:
    """Start so many processes on one file, all at once, and yield them when they are ready."""
    processes = [
        StoreProcess(
            await asyncio.create_subprocess_exec(
                sys.executable,
                __file__,
                str(path),
                secret.hex(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            await process.ready()
        yield processes
    finally:
        for process in processes:
            await process.end()


def _plain(value: Any) -> Any:
    if isinstance(value, LoginSession):
        return value.key
    return [_plain(item) for item in value] if isinstance(value, list) else value


async def _main(path: str, secret: str) -> None:
    store = SQLiteSessionStore(path, sealer=Sealer([bytes.fromhex(secret)]), poll_interval=0.01)

    def say(**said: Any) -> None:
        print(json.dumps(said), flush=True)

    store.start(lambda revocation: say(revoked=[revocation.key, revocation.reason]))
    await store.prune()
    say(answer="ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        positional = [
            LoginSession.from_record(argument["record"].encode())
            if isinstance(argument, dict)
            else argument
            for argument in request["positional"]
        ]
        try:
            if request["method"] == "put_all_once":
                # All at once, so that several processes are at it at the same time.
                names, expires = positional
                answer: Any = await asyncio.gather(
                    *(store.put_once(name, expires=expires) for name in names)
                )
            else:
                answer = await getattr(store, request["method"])(
                    *positional, **request["arguments"]
                )
        except ClefStormError as error:
            say(error=str(error))
        else:
            say(answer=_plain(answer))
    await store.close()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
