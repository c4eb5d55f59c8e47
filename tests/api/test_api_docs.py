"""The programs of the two how-to pages about authorization are what runs here."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.page_programs import programs, text_of
from tokens import SECRET, Issuer
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application

import clefstorm
from clefstorm.registry import build_client
from clefstorm.sessions import MemorySessionStore, new_session_id, session_key
from clefstorm.testing import Clock, Provider

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
AUDIENCE = "https://books.example.com/api"


def page_programs(page: str) -> dict[str, str]:
    return programs(text_of(f"how-to/{page}"))


class Served:
    """An application on a port of its own."""

    def __init__(self, app: Application, http: AsyncHTTPClient) -> None:
        self._http = http
        [socket] = bind_sockets(0, "127.0.0.1")
        self._url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        self.server = HTTPServer(app)
        self.server.add_sockets([socket])

    async def ask(self, path: str, **options: Any) -> HTTPResponse:
        return await self._http.fetch(self._url + path, raise_error=False, **options)


@pytest.fixture
def serve(io_loop: IOLoop, http_client: AsyncHTTPClient) -> Iterator[Any]:
    running: list[Served] = []

    def serve(app: Application) -> Served:
        running.append(Served(app, http_client))
        return running[-1]

    yield serve
    for served in running:
        served.server.stop()
        io_loop.run_sync(served.server.close_all_connections)


async def test_protect_an_api(issuer: Issuer, provider: Provider, serve: Any) -> None:
    """The page's program lets in a token for its audience, as far as its scope goes."""
    provider.add_client(
        "books",
        SECRET,
        ["https://app.example.com/auth/callback"],
        access_token_audience=AUDIENCE,
        access_token_format="jwt",
        api_scopes=["read", "write"],
    )
    names: dict[str, Any] = {"__name__": "api"}
    code = page_programs("protect_an_api.rst")["api.py"]
    exec(code.replace("https://id.example.com", provider.issuer), names)
    app = names["make_app"]()
    api = serve(app)
    bearer = {"Authorization": f"Bearer {await issuer.access_token('books', scope='read')}"}
    answer = await api.ask("/books", headers=bearer)
    assert json.loads(answer.body) == {"reader": provider.account("alice").sub, "books": []}
    assert (await api.ask("/books", headers=bearer, method="POST", body="")).code == 403
    assert (await api.ask("/books")).code == 401
    stranger = {"Authorization": f"Bearer {await issuer.access_token('signed')}"}
    assert (await api.ask("/books", headers=stranger)).code == 401
    await app.settings["clefstorm_resource_server"].close()


async def test_introspection(issuer: Issuer, provider: Provider) -> None:
    """The page's second resource server introspects with its credentials."""
    provider.add_client("books-api", "…")
    provider.add_client(
        "books",
        SECRET,
        ["https://app.example.com/auth/callback"],
        access_token_audience=AUDIENCE,
    )
    names: dict[str, Any] = {"clefstorm": clefstorm}
    code = page_programs("protect_an_api.rst")[""]
    exec(code.replace("https://id.example.com", provider.issuer), names)
    token = await issuer.access_token("books")
    assert (await names["server"].check(token)).client_id == "books"
    await names["server"].close()


def test_the_options_of_the_page() -> None:
    """The page's table has each option of ResourceServer, and no other."""
    text = (HOW_TO / "protect_an_api.rst").read_text(encoding="utf-8")
    table = text.split("option                          meaning")[1].split("What a caller is")[0]
    rows = re.findall(r"(?m)^(``.*?)  ", table)
    options = [name for row in rows for name in re.findall(r"``(\w+)``", row)]
    assert sorted([*options, "clock"]) == sorted(
        inspect.signature(clefstorm.ResourceServer).parameters
    )


async def test_authorize(serve: Any, clock: Clock) -> None:
    """The page's handlers let in whom the page says, and nobody else."""
    names: dict[str, Any] = {}
    exec(page_programs("authorize.rst")["pages.py"], names)
    client = build_client(
        "default",
        {
            "issuer": "https://id.example.com",
            "client_id": "app",
            "redirect_uri": "https://app.example.com/auth/callback",
        },
    )
    rp = clefstorm.RelyingParty(
        {"default": client}, MemorySessionStore(clock=clock), secret="s" * 32, clock=clock
    )
    pages = {name.lower(): names[name] for name in ("Accounts", "Orders", "Transfer", "Article")}
    site = serve(Application([(f"/{name}", page) for name, page in pages.items()], clefstorm=rp))

    async def status(path: str, **claims: Any) -> int:
        session_id = new_session_id()
        session = clefstorm.LoginSession(
            key=session_key(session_id),
            alias="default",
            iss="https://id.example.com",
            sub="alice",
            claims=claims,
            created=clock(),
            authenticated=clock(),
            seen=clock(),
            idle=None,
            expires=clock() + 60,
        )
        await rp.sessions.create(session)
        cookie = f"{rp.cookies.session}={session_id}"
        return int((await site.ask(path, headers={"Cookie": cookie})).code)

    assert await status("/accounts", realm_access={"roles": ["admin"]}) == 200
    assert await status("/accounts", roles=["admin"]) == 403
    assert await status("/orders", email_verified=True, department="support") == 200
    assert await status("/orders", email_verified=True, department="it") == 403
    assert await status("/transfer", acr="silver", auth_time=clock() - 300) == 200
    assert await status("/transfer", acr="iron", auth_time=clock()) == 401
    assert await status("/transfer", acr="gold", auth_time=clock() - 400) == 401
    assert await status("/article", groups=["editor"]) == 200
    assert await status("/article") == 403
    await rp.close()
