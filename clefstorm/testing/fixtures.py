"""pytest fixtures, to be loaded by ``pytest_plugins = ["clefstorm.testing.fixtures"]``.

LAW: the only file of the package that imports pytest. The fixtures are plain functions on
pytest-tornado's ``io_loop``, whichever the test has; each test has its own provider and browser.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from tornado.ioloop import IOLoop

from clefstorm.keys import Key, generate_key
from clefstorm.testing import clock as given_time
from clefstorm.testing.browser import Browser
from clefstorm.testing.clock import Clock
from clefstorm.testing.provider import Provider


@pytest.fixture
def clock() -> Clock:
    """A wall clock that the test advances; the provider and browser fixtures follow it too."""
    return Clock()


@pytest.fixture
def given_time_io_loop(clock: Clock) -> Iterator[IOLoop]:
    """A loop that jumps from timer to timer instead of sleeping, on the time of ``clock``.

    Override pytest-tornado's fixture with it, in a conftest or one test module:

        @pytest.fixture
        def io_loop(given_time_io_loop):
            return given_time_io_loop
    """
    io_loop = given_time.given_time_io_loop(clock)
    loop: asyncio.AbstractEventLoop = io_loop.asyncio_loop  # type: ignore[attr-defined]
    asyncio.set_event_loop(loop)
    yield io_loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    io_loop.close()
    asyncio.set_event_loop(None)


def _clock_of(request: pytest.FixtureRequest) -> Callable[[], float]:
    """Return the test's clock when it uses one, else the real time."""
    if "clock" not in request.fixturenames:
        return time.time
    clock: Callable[[], float] = request.getfixturevalue("clock")
    return clock


@cache
def _signing_key() -> Key:
    """Return the RSA key of every ``provider`` fixture; a test has one, so that none share it.

    Making one takes a tenth of a second, which a suite would wait for at each test.
    """
    return generate_key("RS256", kid="RS256-of-the-fixture")


@pytest.fixture
def provider(request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[Provider]:
    """An embedded provider with its built-in users, running; clients are the test's to add."""
    provider = Provider(clock=_clock_of(request), signing_keys=[_signing_key()])
    io_loop.run_sync(provider.start)
    yield provider
    io_loop.run_sync(provider.stop)


@pytest.fixture
def new_browser(request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[Callable[[], Browser]]:
    """Call it for one more browser profile; two of them share nothing."""
    browsers: list[Browser] = []

    def new_browser() -> Browser:
        browsers.append(Browser(clock=_clock_of(request)))
        return browsers[-1]

    yield new_browser
    for browser in browsers:
        io_loop.run_sync(browser.close)


@pytest.fixture
def browser(new_browser: Callable[[], Browser]) -> Browser:
    """A browser that has never been anywhere."""
    return new_browser()
