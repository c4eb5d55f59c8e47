"""A server with the bus mounted, in the test's own loop, and sessions on it through a wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application
from wires import Proxy

from clefstorm.handlers import BusAccess, BusLimits, login_routes
from clefstorm.handlers.bus_socket import BusSocketHandler
from clefstorm.registry import build_client
from clefstorm.relying_party import RelyingParty
from clefstorm.remote import Credentials, Session
from clefstorm.sessions import LoginSession, MemorySessionStore, new_session_id, session_key
from clefstorm.testing.fixtures import browser as browser
from clefstorm.testing.fixtures import new_browser as new_browser

ISSUER = "https://id.example.com"
PASSWORD = "a password of a test"


@pytest.fixture
def rp(io_loop: IOLoop) -> Iterator[RelyingParty]:
    client = build_client(
        "default",
        {
            "issuer": ISSUER,
            "client_id": "app",
            "client_secret": "secret",
            "redirect_uri": "http://localhost/auth/callback",
        },
    )
    party = RelyingParty(
        {"default": client}, MemorySessionStore(), secret="a secret of a test, at least 32 bytes"
    )
    yield party
    io_loop.run_sync(party.close)


async def authenticate(principal: str, credentials: Credentials, handler: Any) -> BusAccess | None:
    """A worker with the password, or a signed-in browser, may use what begins with "door"."""
    if principal == "slow":
        await asyncio.sleep(0.1)
    if principal == "broken":
        raise ZeroDivisionError
    if credentials == Credentials(PASSWORD) or handler.user is not None:
        return BusAccess(notify=["door"], wait=["door"], properties={"$Region": "north"})
    if principal == "numbers":
        return BusAccess(notify=lambda key: key == 7, wait=lambda key: key == 7)
    return None


@pytest.fixture
def limits() -> BusLimits:
    return BusLimits()


@pytest.fixture
def app(rp: RelyingParty, limits: BusLimits) -> Application:
    return Application(
        login_routes(rp, "/auth", bus_access=authenticate, bus_limits=limits), clefstorm=rp
    )


@pytest.fixture
def bus_sessions(app: Application) -> Any:
    """What the server keeps of remote sessions."""
    (rule,) = (
        rule
        for rule in app.wildcard_router.rules
        if isinstance(rule.target, type) and issubclass(rule.target, BusSocketHandler)
    )
    return rule.target.bus_sessions


@pytest.fixture
def connect(app: Application, http_server: HTTPServer, http_port: int) -> Callable[..., Any]:
    """``async with connect() as (session, wire)``: connected through a proxy that can be cut."""

    @asynccontextmanager
    async def connect(
        principal: str = "worker", password: str = PASSWORD, **options: Any
    ) -> AsyncIterator[tuple[Session, Proxy]]:
        async with Proxy(http_port).running() as wire:
            session = Session(
                f"ws://127.0.0.1:{wire.port}/auth/bus",
                principal,
                Credentials(password),
                **{"jitter": lambda: 0.0, **options},
            )
            async with session:
                yield session, wire

    return connect


@pytest.fixture
def sign_in(rp: RelyingParty) -> Callable[..., Awaitable[tuple[LoginSession, str]]]:
    """``await sign_in()`` puts a session into the store; it, and its Cookie header."""

    async def sign_in() -> tuple[LoginSession, str]:
        session_id = new_session_id()
        now = rp.clock()
        session = LoginSession(
            key=session_key(session_id),
            alias="default",
            iss=ISSUER,
            sub="alice",
            claims={"sub": "alice"},
            data={},
            created=now,
            authenticated=now,
            seen=now,
            idle=None,
            expires=now + 3600,
        )
        await rp.sessions.create(session)
        return session, f"{rp.cookies.session}={session_id}"

    return sign_in
