"""An application over HTTP with the embedded provider, on every kind of store, and its browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from races.joined_site import SECRET, Site
from relying_party.conftest import Visitor, Wire
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application

from clefstorm.bus import AsyncBus
from clefstorm.client import AsyncClient
from clefstorm.relying_party import RelyingParty
from clefstorm.sealing import Sealer
from clefstorm.sessions import MemorySessionStore, SessionStore, SQLiteSessionStore
from clefstorm.testing import Browser, Clock, Provider
from clefstorm.testing.fixtures import _signing_key
from clefstorm.testing.fixtures import clock as clock
from clefstorm.testing.fixtures import given_time_io_loop as given_time_io_loop
from clefstorm.testing.fixtures import new_browser as new_browser


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, clock: Clock, open_store: Any) -> SessionStore:
    """Every kind of store, one after the other."""
    return MemorySessionStore(clock=clock) if request.param == "memory" else open_store(clock)


@pytest.fixture
def open_store(tmp_path: Path, io_loop: IOLoop) -> Iterator[Callable[..., SQLiteSessionStore]]:
    """Open stores on one file, each as another process would; all are closed at the end."""
    opened: list[SQLiteSessionStore] = []

    def open_store(clock: Callable[[], float]) -> SQLiteSessionStore:
        store = SQLiteSessionStore(
            tmp_path / "sessions.sqlite",
            sealer=Sealer([SECRET.encode()]),
            clock=clock,
            poll_interval=0.01,
        )
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        io_loop.run_sync(store.close)


# -- over HTTP ---------------------------------------------------------------------------------


@pytest.fixture
def provider_ahead() -> float:
    """Seconds by which the provider's clock is ahead of ours."""
    return 0.0


@pytest.fixture
def provider(io_loop: IOLoop, clock: Clock, provider_ahead: float) -> Iterator[Provider]:
    provider = Provider(clock=lambda: clock() + provider_ahead, signing_keys=[_signing_key()])
    io_loop.run_sync(provider.start)
    yield provider
    io_loop.run_sync(provider.stop)


@pytest.fixture
def rp(io_loop: IOLoop, clock: Clock, store: SessionStore) -> Iterator[RelyingParty]:
    party = RelyingParty({}, store, secret=SECRET, clock=clock)
    yield party
    io_loop.run_sync(party.close)


@pytest.fixture
def poll_hold() -> float:
    """Seconds for which a poll without news is held."""
    return 25.0


@pytest.fixture
def app(rp: RelyingParty, poll_hold: float) -> Application:
    return Site.application(rp, poll_hold=poll_hold)


@pytest.fixture
def site(
    rp: RelyingParty,
    provider: Provider,
    http_server: HTTPServer,
    http_port: int,
    clock: Clock,
    new_browser: Callable[[], Browser],
) -> Site:
    """The application, joined to the provider; ``site.browser`` has been nowhere."""
    return Site(rp, provider, f"http://127.0.0.1:{http_port}", clock, new_browser())


# -- without HTTP ------------------------------------------------------------------------------


@pytest.fixture
def wire(clock: Clock) -> Wire:
    return Wire(clock)


@pytest.fixture
def make_visitor(io_loop: IOLoop, clock: Clock, wire: Wire) -> Iterator[Callable[..., Visitor]]:
    """Return a maker of browsers, each at a relying party of its own: another process's.

    They share the one provider of ``wire``.
    """
    parties: list[RelyingParty] = []

    def make(store: SessionStore, *, clock: Clock = clock, **options: Any) -> Visitor:
        client = AsyncClient(wire.provider, clock=clock)
        client._runner = wire  # type: ignore[assignment]
        party = RelyingParty({"default": client}, store, AsyncBus(), SECRET, clock=clock, **options)
        parties.append(party)
        return Visitor(party, wire)

    yield make
    for party in parties:
        io_loop.run_sync(party.close)


@pytest.fixture
def visitor(make_visitor: Any, store: SessionStore) -> Visitor:
    return make_visitor(store)
