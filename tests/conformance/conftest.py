"""The stage on which a row is played, once in memory and alone, once in SQLite behind nginx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from parts.signing_keys import signing_key
from rows import Row
from stage import SECRET, Stage, certificate_files
from tornado.ioloop import IOLoop

from clefstorm.sealing import Sealer
from clefstorm.sessions import MemorySessionStore, SessionStore, SQLiteSessionStore
from clefstorm.testing import Clock
from clefstorm.testing.fixtures import clock as clock


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(
    params=[
        pytest.param("memory", id="memory"),
        pytest.param("sqlite-nginx", id="sqlite_nginx", marks=pytest.mark.needs("nginx")),
    ]
)
def setting(request: pytest.FixtureRequest) -> str:
    """Where the sessions are, and what stands in front of the application."""
    return str(request.param)


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    io_loop: IOLoop,
    clock: Clock,
    tmp_path: Path,
    setting: str,
    row: Row,
) -> Iterator[Stage]:
    tls, ca_certs, front = None, None, None
    store: SessionStore
    if setting == "memory":
        store = MemorySessionStore(clock=clock)
        if row.secure:
            tls, ca_certs = certificate_files(tmp_path, request.getfixturevalue("authority"))
    else:
        store = SQLiteSessionStore(
            tmp_path / "clefstorm.sqlite", sealer=Sealer([SECRET.encode()]), clock=clock
        )
        nginx = request.getfixturevalue("nginx")
        ca_certs, front = nginx.ca_certs, nginx.site
    stage = Stage(
        store=store,
        clock=clock,
        signing_key=signing_key("RS256", kid="RS256-of-the-stage"),
        ca_certs=ca_certs,
        tls=tls,
        front=front,
        registration=row.registration,
        options=row.options,
    )
    io_loop.run_sync(stage.start)
    yield stage
    io_loop.run_sync(stage.stop)
