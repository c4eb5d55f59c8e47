"""A process of its own with the application on a SQLite file, held at a step to be killed there.

``python held_process.py FILE ISSUER URL STEP LEASE`` serves the application that the provider
knows under URL, with leases of LEASE seconds. Each line that it prints is a JSON array: ["port",
port]; ["tab"] when a page's connection stands; ["asked", n] at the n-th request for /token; ["at",
STEP] at the step, a key of ``HELD`` or nothing, at which it goes no further. ``process`` is the
parent's side.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from races.held import DEADLINE, Gate, hold_after, hold_before
from races.joined_site import SECRET, Site, Token, client_of
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from clefstorm.relying_party import Happening, RelyingParty
from clefstorm.relying_party.leases import Lease
from clefstorm.sealing import Sealer
from clefstorm.sessions import SQLiteSessionStore

_ROOT = Path(__file__).parents[2]

HELD: dict[str, Callable[[RelyingParty, Gate], None]] = {
    "own": lambda rp, gate: hold_before(rp.sessions, "revoke", gate),
    "backchannel": lambda rp, gate: hold_before(rp.sessions, "revoke_sid", gate),
    "revoked": lambda rp, gate: hold_before(rp.bus, "publish", gate),
    "rung": lambda rp, gate: hold_after(rp.bus, "publish", gate),
}
"""Where a logout is held: when nothing has happened yet (of either kind), when the store knows,
and when the bell has rung."""


class Process:
    """The parent's side of one of them; ``url`` is where it serves."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.url = ""

    async def says(self, *what: Any) -> list[Any]:
        """Read on until it says what begins like this, and return the whole."""
        assert self._process.stdout
        while True:
            line = await asyncio.wait_for(self._process.stdout.readline(), DEADLINE)
            assert line, "the process has ended"
            said: list[Any] = json.loads(line)
            if said[: len(what)] == list(what):
                return said

    async def kill(self) -> None:
        """End it as a power switch would: nothing is closed, nothing is finished."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def process(
    file: Path, site: Site, step: str = "", *, lease: float = 30
) -> AsyncIterator[Process]:
    """Start one that shares the file with ``site``, and yield it when it serves."""
    started = Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            str(file),
            site.provider.issuer,
            site.url,
            step,
            str(lease),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'tests'}"},
        )
    )
    try:
        _, port = await started.says("port")
        started.url = f"http://127.0.0.1:{port}"
        yield started
    finally:
        await started.kill()


def say(*what: Any) -> None:
    print(json.dumps(what), flush=True)


def say_tab(happening: Happening) -> None:
    if happening.event == "tab_opened":
        say("tab")


class Counted(Token):
    """Says how many have asked for a token."""

    asked = 0

    async def prepare(self) -> None:
        Counted.asked += 1
        say("asked", Counted.asked)
        await super().prepare()


async def serve(file: str, issuer: str, url: str, step: str, lease: str) -> None:
    Lease.LASTS = float(lease)
    store = SQLiteSessionStore(file, sealer=Sealer([SECRET.encode()]), poll_interval=0.05)
    rp = RelyingParty({"default": client_of(issuer, url)}, store, secret=SECRET)
    rp.listeners.append(say_tab)
    if step:
        gate = Gate()
        HELD[step](rp, gate)
        reached = asyncio.create_task(gate.reached())
        reached.add_done_callback(lambda _: say("at", step))
    server = HTTPServer(Site.application(rp, Counted))
    sock, port = bind_unused_port()
    server.add_socket(sock)
    say("port", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
