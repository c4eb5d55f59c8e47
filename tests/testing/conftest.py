"""The fixtures that the package ships, and an application that uses the provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stand_in import StandIn
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop

from clefstorm.testing import Provider
from clefstorm.testing.fixtures import browser as browser
from clefstorm.testing.fixtures import clock as clock
from clefstorm.testing.fixtures import given_time_io_loop as given_time_io_loop
from clefstorm.testing.fixtures import new_browser as new_browser
from clefstorm.testing.fixtures import provider as provider


@pytest.fixture
def stand_in(
    io_loop: IOLoop, http_client: AsyncHTTPClient, provider: Provider
) -> Iterator[StandIn]:
    stand_in = StandIn(http_client, provider)
    io_loop.run_sync(stand_in.start)
    yield stand_in
    io_loop.run_sync(stand_in.stop)
