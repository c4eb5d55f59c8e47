"""A provider whose access tokens are for an API, and the resource server that judges them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tokens import Issuer, server_of
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop

from clefstorm.relying_party import Happening
from clefstorm.resource_server import ResourceServer
from clefstorm.testing import Clock, Provider
from clefstorm.testing.fixtures import clock as clock
from clefstorm.testing.fixtures import provider as provider


@pytest.fixture
def issuer(provider: Provider, http_client: AsyncHTTPClient) -> Issuer:
    return Issuer(provider, http_client)


@pytest.fixture
def server(io_loop: IOLoop, provider: Provider, clock: Clock) -> Iterator[ResourceServer]:
    server = server_of(provider, clock)
    yield server
    io_loop.run_sync(server.close)


@pytest.fixture
def happenings(server: ResourceServer) -> list[Happening]:
    """What the resource server records, as it happens."""
    heard: list[Happening] = []
    server.listeners.append(heard.append)
    return heard
