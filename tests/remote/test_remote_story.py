"""Three processes: a server with long-polling browsers, a worker elsewhere, and a cut wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from processes import process
from wires import Proxy

from clefstorm.testing import Browser

pytestmark = pytest.mark.gen_test(timeout=60)


class Page:
    """What browsers ask the server."""

    def __init__(self, browser: Browser, port: int) -> None:
        self._browser, self._origin = browser, f"http://127.0.0.1:{port}"

    async def get(self, path: str) -> dict[str, Any]:
        answer = (await self._browser.get(self._origin + path)).json()
        assert isinstance(answer, dict)
        return answer

    async def tell(self, how: str, key: str, text: str) -> Any:
        return (await self.get(f"/{how}?key={key}&text={text}"))["result"]

    async def polls(self, count: int) -> None:
        """Wait until so many wait on the bus."""
        async with asyncio.timeout(20):
            while (await self.get("/counts"))["waiting"] != count:
                await asyncio.sleep(0.01)


@pytest.fixture
def other_browser(new_browser: Any) -> Browser:
    browser: Browser = new_browser()
    return browser


async def test_a_worker_that_loses_its_connection_misses_nothing(
    browser: Browser, other_browser: Browser
) -> None:
    """A remote session in another process wakes a long-polling browser, loses its TCP connection
    in mid-wait, comes back, and misses nothing."""
    async with process("server") as server:
        (port,) = await server.said()
        page, poller = Page(browser, port), Page(other_browser, port)
        async with (
            Proxy(port).running() as wire,
            process("worker", f"ws://127.0.0.1:{wire.port}/auth/bus") as worker,
        ):
            await worker.says("waits")
            poll = asyncio.create_task(poller.get("/poll"))
            await page.polls(2)
            assert await page.tell("notify", "question", "one") is True
            assert await poll == {"heard": "to one"}
            await worker.says("waits")

            poll = asyncio.create_task(poller.get("/poll"))
            await page.polls(2)
            wire.open = False
            wire.cut()
            await worker.says("state", "recovering_reconnect")
            # The worker is away; the server takes its messages for it.
            for text in ("a", "b", "c"):
                await page.tell("publish", "news", text)
            assert await page.tell("notify", "question", "two") is True
            wire.open = True
            assert await poll == {"heard": "to two"}
            # What it had missed came in order, once, and it knows that nothing is lacking.
            said = await worker.says("waits")
            assert said[0] == ["state", "connected_active"]
            assert [what for what in said if what[0] == "news"] == [
                ["news", text, False] for text in ("a", "b", "c")
            ]
            assert [what for what in said if what[0] in ("question", "woke", "error")] == [
                ["question", "two"],
                ["woke", 1],
            ]
            await page.tell("notify", "question", "end")
            await worker.says("state", "closed_by_client")
            assert await worker.ended() == 0
            await page.polls(0)


async def test_a_server_that_was_started_anew_is_noticed(browser: Browser) -> None:
    """After a restart of the server the worker's wait fails with session_lost, its subscription
    says missed, and both go on with the new server."""
    async with process("server") as server, process("server") as second:
        (port,) = await server.said()
        async with (
            Proxy(port).running() as wire,
            process("worker", f"ws://127.0.0.1:{wire.port}/auth/bus") as worker,
        ):
            await worker.says("waits")
            await server.kill()
            await worker.says("state", "recovering_reconnect")
            (wire.target,) = await second.said()
            said = await worker.says("waits")
            assert ["error", "session_lost"] in said
            page = Page(browser, wire.target)
            await page.tell("publish", "news", "new")
            await worker.says("news", "new", True)
            assert await page.tell("notify", "question", "end") is True
            assert await worker.ended() == 0
