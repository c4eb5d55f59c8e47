"""A relying party in memory with an application around it, and sessions made without a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
from mounted import ISSUER, SECRET, Home, Inside, Settings, SignedIn
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application

from clefstorm.client import AsyncClient
from clefstorm.handlers import Tabs, login_routes
from clefstorm.registry import build_client
from clefstorm.relying_party import Happening, RelyingParty
from clefstorm.sessions import LoginSession, MemorySessionStore, new_session_id, session_key
from clefstorm.testing import Clock, Provider
from clefstorm.testing.fixtures import browser as browser
from clefstorm.testing.fixtures import clock as clock
from clefstorm.testing.fixtures import given_time_io_loop as given_time_io_loop
from clefstorm.testing.fixtures import new_browser as new_browser
from clefstorm.testing.fixtures import provider as provider


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def rp(io_loop: IOLoop, clock: Clock, settings: Settings) -> Iterator[RelyingParty]:
    client = build_client(
        "default",
        {
            "issuer": ISSUER,
            "client_id": "app",
            "client_secret": "secret",
            "redirect_uri": settings.redirect_uri,
        },
    )
    party = RelyingParty(
        {"default": client},
        MemorySessionStore(clock=clock),
        secret=SECRET,
        clock=clock,
        **settings.party,
    )
    yield party
    io_loop.run_sync(party.close)


@pytest.fixture
def happenings(rp: RelyingParty) -> list[Happening]:
    """What the relying party records, as it happens."""
    heard: list[Happening] = []
    rp.listeners.append(heard.append)
    return heard


@pytest.fixture
def tabs() -> Tabs:
    return Tabs()


@pytest.fixture
def app(rp: RelyingParty, tabs: Tabs, settings: Settings) -> Application:
    return Application(
        [
            (r"/", Home),
            (r"/inside.*", Inside),
            *login_routes(rp, "/auth", tabs=tabs, **settings.routes),
        ],
        clefstorm=rp,
        **settings.application,
    )


@pytest.fixture
def sign_in(rp: RelyingParty, clock: Clock) -> Callable[..., Awaitable[SignedIn]]:
    """``await sign_in("alice")`` puts a session into the store, as a finished login does."""

    async def sign_in(sub: str = "alice", **changes: Any) -> SignedIn:
        session_id = new_session_id()
        fields: dict[str, Any] = {
            "key": session_key(session_id),
            "alias": "default",
            "iss": ISSUER,
            "sub": sub,
            "claims": {"sub": sub, "name": sub.title()},
            "created": clock(),
            "authenticated": clock(),
            "seen": clock(),
            "idle": None,
            "expires": clock() + 3600,
            **changes,
        }
        session = await rp.sessions.create(LoginSession(**fields))
        return SignedIn(session, session_id, f"{rp.cookies.session}={session_id}")

    return sign_in


@pytest.fixture
def app_url(http_port: int) -> str:
    """The application's origin: another site than the provider's, which is on localhost."""
    return f"http://127.0.0.1:{http_port}"


@pytest.fixture
def joined_rp(
    provider: Provider,
    http_server: HTTPServer,
    app: Application,
    app_url: str,
    settings: Settings,
) -> RelyingParty:
    """The application's relying party, whose provider is the embedded one."""
    rp: RelyingParty = app.settings["clefstorm"]
    provider.add_client(
        "app",
        "secret-of-the-client",
        [f"{app_url}/auth/callback"],
        post_logout_redirect_uris=[f"{app_url}/auth/logged-out"],
        backchannel_logout_uri=f"{app_url}/auth/backchannel-logout",
    )
    clients = cast(dict[str, AsyncClient], rp.clients)
    clients["default"] = build_client(
        "default",
        {
            "issuer": provider.issuer,
            "client_id": "app",
            "client_secret": "secret-of-the-client",
            "redirect_uri": f"{app_url}/auth/callback",
            "post_logout_redirect_uri": f"{app_url}/auth/logged-out",
            **settings.client,
        },
    )
    clients["default"].clock = rp.clock
    return rp
