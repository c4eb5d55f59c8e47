"""The site that is attacked, alone in memory or in SQLite behind nginx, and who is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from attacks.site import Site
from conformance.stage import SECRET, certificate_files
from parts.signing_keys import signing_key
from tornado.ioloop import IOLoop

from clefstorm.sealing import Sealer
from clefstorm.sessions import MemorySessionStore, SessionStore, SQLiteSessionStore
from clefstorm.testing import Browser, Clock
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
    """Where the sessions are, and what stands in front: memory, memory-tls, sqlite, sqlite-nginx.

    A module whose rows are not changed by that takes one of them.
    """
    return str(request.param)


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    io_loop: IOLoop,
    clock: Clock,
    tmp_path: Path,
    setting: str,
) -> Iterator[Site]:
    def open_store() -> SessionStore:
        if setting.startswith("memory"):
            return MemorySessionStore(clock=clock)
        return SQLiteSessionStore(
            tmp_path / "clefstorm.sqlite", sealer=Sealer([SECRET.encode()]), clock=clock
        )

    tls, ca_certs, front = None, None, None
    if setting.endswith("tls"):
        tls, ca_certs = certificate_files(tmp_path, request.getfixturevalue("authority"))
    elif setting.endswith("nginx"):
        nginx = request.getfixturevalue("nginx")
        ca_certs, front = nginx.ca_certs, nginx.site
    site = Site(
        open_store=open_store,
        clock=clock,
        signing_key=signing_key("RS256", kid="RS256-of-the-site"),
        ca_certs=ca_certs,
        tls=tls,
        front=front,
        registration={},
        options={},
    )
    io_loop.run_sync(site.start)
    yield site
    io_loop.run_sync(site.stop)


@pytest.fixture
def alice(site: Site, io_loop: IOLoop) -> Browser:
    """The victim, signed in: the browser at the stage."""
    assert io_loop.run_sync(site.sign_in).text == "here"
    return site.browser


@pytest.fixture
def mallory(site: Site, io_loop: IOLoop) -> Browser:
    """The attacker's browser, signed in with an account of his own (bob's)."""
    browser = site.new_browser()
    assert io_loop.run_sync(lambda: site.sign_in("bob", browser=browser)).text == "here"
    return browser
