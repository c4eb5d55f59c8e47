"""A server and a worker, each a process of its own, told by the test what to do.

``python processes.py server`` prints its port, and serves: /auth/bus; /poll, which
answers when the key "answer" is told; /tell?key=…&text=… (notify) and /publish?key=…&text=….
``python processes.py worker URL`` is a remote session: it answers each "question" by "answer",
and says on its output what happens to it, one JSON array a line.
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

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

import clefstorm
from clefstorm.bus import AsyncBus
from clefstorm.errors import BusError
from clefstorm.sessions import MemorySessionStore

PASSWORD = "the worker's password"
DEADLINE = 20.0
_ROOT = Path(__file__).parents[2]


def say(*what: Any) -> None:
    print(json.dumps(what), flush=True)


async def authenticate(
    principal: str, credentials: clefstorm.Credentials, handler: object
) -> clefstorm.BusAccess | None:
    if principal == "worker" and credentials == clefstorm.Credentials(PASSWORD):
        return clefstorm.BusAccess(notify=["answer"], wait=["question", "news"])
    return None


class Poll(RequestHandler):
    async def get(self) -> None:
        bus: AsyncBus = self.settings["bus"]
        self.write({"heard": await bus.waitforkey("answer", DEADLINE)})


class Tell(RequestHandler):
    async def get(self) -> None:
        bus: AsyncBus = self.settings["bus"]
        told = getattr(bus, self.request.path.strip("/"))
        result = told(self.get_argument("key"), self.get_argument("text"))
        self.write({"result": await result if asyncio.iscoroutine(result) else result})


class Counts(RequestHandler):
    def get(self) -> None:
        statistics = self.settings["bus"].statistics()
        self.write({"waiting": statistics.waiting, "subscribers": statistics.subscribers})


async def serve() -> None:
    bus = AsyncBus()
    party = clefstorm.RelyingParty(
        {}, MemorySessionStore(), bus, "a secret of a test, at least 32 bytes"
    )
    app = Application(
        [
            (r"/poll", Poll),
            (r"/notify|/publish", Tell),
            (r"/counts", Counts),
            *clefstorm.login_routes(party, "/auth", bus_access=authenticate),
        ],
        bus=bus,
    )
    server = HTTPServer(app)
    sock, port = bind_unused_port()
    server.add_socket(sock)
    say(port)
    await asyncio.Event().wait()


async def work(url: str) -> None:
    session = clefstorm.Session(url, "worker", clefstorm.Credentials(PASSWORD))
    async with session:
        session.listeners.append(lambda old, new: say("state", new))
        with await session.subscribe(["news"]) as news:

            async def read() -> None:
                async for item in news:
                    say("news", item.message, news.missed)

            reading = asyncio.create_task(read())
            while True:
                waiting = asyncio.create_task(session.waitforkey("question"))
                await asyncio.sleep(0)
                await session.ping_server()
                say("waits")
                try:
                    question = await waiting
                except BusError as error:
                    say("error", error.code)
                    continue
                if question == "end":
                    break
                say("question", question)
                say("woke", await session.notifyall("answer", f"to {question}"))
            reading.cancel()


class Process:
    """The test's side of one of them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def said(self) -> list[Any]:
        assert self._process.stdout
        line = await asyncio.wait_for(self._process.stdout.readline(), DEADLINE)
        assert line, "the process has ended"
        found = json.loads(line)
        assert isinstance(found, list)
        return found

    async def says(self, *what: Any) -> list[list[Any]]:
        """Read on until it says this; what it said before."""
        before = []
        while (said := await self.said()) != list(what):
            before.append(said)
        return before

    async def ended(self) -> int:
        return await asyncio.wait_for(self._process.wait(), DEADLINE)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[Process]:
    started = Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
    )
    try:
        yield started
    finally:
        await started.kill()


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "server" else work(sys.argv[2]))
