"""The examples of docs/reference/testing.rst, run against a real application of clefstorm."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_in import StandIn
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from clefstorm.handlers import UserMixin, login_routes
from clefstorm.registry import build_client
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import MemorySessionStore
from clefstorm.testing import Browser, Provider

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "testing.rst"


def example(beginning: str) -> str:
    """Return the code block that begins so."""
    blocks = re.findall(r"::\n\n((?:    .*\n|\n)+)", PAGE.read_text())
    [block] = [text for text in map(textwrap.dedent, blocks) if text.startswith(beginning)]
    return block


class Home(UserMixin, RequestHandler):
    def get(self) -> None:
        self.write(f"Hello {self.current_user.name if self.current_user else 'stranger'}")


@pytest.fixture
def app_url(io_loop: IOLoop, provider: Provider) -> Iterator[str]:
    [socket] = bind_sockets(0, "127.0.0.1")
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    options = {
        "issuer": provider.issuer,
        "client_id": "app",
        "client_secret": "secret",
        "redirect_uri": f"{url}/auth/callback",
    }

    async def start() -> tuple[RelyingParty, HTTPServer]:
        client = build_client("default", options)
        party = RelyingParty({"default": client}, MemorySessionStore(), secret="x" * 32)
        handlers: list[Any] = [("/", Home), *login_routes(party, "/auth")]
        server = HTTPServer(Application(handlers, clefstorm=party))
        server.add_sockets([socket])
        return party, server

    party, server = io_loop.run_sync(start)
    yield url
    server.stop()
    io_loop.run_sync(server.close_all_connections)
    io_loop.run_sync(party.close)


async def test_the_example(provider: Provider, browser: Browser, app_url: str) -> None:
    """The page's first test passes as it stands."""
    names: dict[str, Any] = {"pytest": pytest}
    exec(example("@pytest.mark.gen_test"), names)
    farewell: Callable[..., Awaitable[None]] = names["test_farewell"]
    await farewell(provider, browser, app_url)


async def test_the_fault(browser: Browser, stand_in: StandIn) -> None:
    """The page's fault changes the id token."""
    good = await stand_in.claims((await stand_in.tokens(browser))["id_token"])
    exec(example("provider.tamper"), {"provider": stand_in.provider})
    bad = await stand_in.claims((await stand_in.tokens(browser))["id_token"])

    assert (good["nonce"], bad["nonce"]) == ("the nonce", "another")
