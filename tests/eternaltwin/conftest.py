"""An application with an Eternaltwin alias, and the embedded provider for its server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

from clefstorm import UserMixin
from clefstorm.handlers import login_routes
from clefstorm.registry import async_connections, configure, connections
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import MemorySessionStore
from clefstorm.testing import Provider
from clefstorm.testing.fixtures import browser as browser
from clefstorm.testing.fixtures import new_browser as new_browser
from clefstorm.testing.fixtures import provider as provider

CLIENT_ID = "a-game@clients"
SECRET = "100% + secret, as it is"  # what form-encoding would change
STATE_KEY = {"alg": "HS256", "secret": "a state key of thirty-two bytes or more"}


class Home(UserMixin, RequestHandler):
    """Says who is there."""

    def get(self) -> None:
        user = self.current_user
        self.finish(f"hello {user.name}" if user else "hello stranger")


@pytest.fixture
def rp(io_loop: IOLoop) -> Iterator[RelyingParty]:
    party = RelyingParty(None, MemorySessionStore(), secret="a secret of a test, 32 bytes or more")
    yield party
    io_loop.run_sync(party.close)


@pytest.fixture
def app(rp: RelyingParty) -> Application:
    return Application([(r"/", Home), *login_routes(rp, "/auth")], clefstorm=rp)


@pytest.fixture
def options(provider: Provider, http_port: int) -> dict[str, Any]:
    """The alias's options, in the shape of the eternaltwin package."""
    callback = f"http://127.0.0.1:{http_port}/auth/callback"
    provider.add_client(CLIENT_ID, SECRET, [callback])
    return {
        "url": provider.api_url,
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "redirect_uri": callback,
        "state_key": STATE_KEY,
    }


@pytest.fixture
def _configured(options: dict[str, Any], io_loop: IOLoop) -> Iterator[None]:
    configure(default=options)
    held = async_connections["default"], connections["default"]
    yield
    io_loop.run_sync(held[0].close)
    held[1].close()
    configure()


@pytest.fixture
def site(_configured: None, http_server: HTTPServer, http_port: int) -> str:
    """The application's address."""
    return f"http://127.0.0.1:{http_port}"
