"""A clock, a sealer, sessions, and the stores that the contract is tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.sealing import Sealer
from clefstorm.sessions import (
    LoginSession,
    MemorySessionStore,
    SessionStore,
    SQLiteSessionStore,
    new_session_id,
    session_key,
)

START = 1_800_000_000.0
ISSUER = "https://id.example.com"
SECRET = b"s" * 32

MakeSession = Callable[..., LoginSession]
MakeStore = Callable[..., SQLiteSessionStore]


class GivenTime:
    """A clock that stands until somebody moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> GivenTime:
    return GivenTime()


@pytest.fixture
def new(clock: GivenTime) -> MakeSession:
    """Make a session of its own key for the user ada at the session laptop, as it is now."""

    def make(**members: Any) -> LoginSession:
        given = {
            "key": session_key(new_session_id()),
            "alias": "default",
            "iss": ISSUER,
            "sub": "ada",
            "sid": "laptop",
            "claims": {"name": "Ada Lovelace", "groups": ["staff"]},
            "tokens": Tokens(access_token="at", refresh_token="rt", id_token="it"),
            "data": {"theme": "dark"},
            "created": clock.now,
            "authenticated": clock.now,
            "seen": clock.now,
            "idle": 600.0,
            "expires": clock.now + 3600,
        }
        return LoginSession(**{**given, **members})

    return make


@pytest.fixture
def open_store(tmp_path: Path, io_loop: IOLoop, clock: GivenTime) -> Iterator[MakeStore]:
    """Open stores on one file, each as another process would; all are closed at the end."""
    stores: list[SQLiteSessionStore] = []

    def make(*secrets: bytes, path: Path = tmp_path / "sessions.sqlite") -> SQLiteSessionStore:
        store = SQLiteSessionStore(
            path, sealer=Sealer(secrets or [SECRET]), clock=clock, poll_interval=0.01
        )
        stores.append(store)
        return store

    yield make
    for store in stores:
        io_loop.run_sync(store.close)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, clock: GivenTime, open_store: MakeStore) -> SessionStore:
    """Every kind of store, one after the other."""
    return MemorySessionStore(clock=clock) if request.param == "memory" else open_store()
