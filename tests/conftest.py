"""What all tests share: a loop for each test that nothing may outlive, and tests/parts.

Every coroutine test runs under pytest-tornado's gen_test on ``io_loop``; no marker is needed. Its
timeout is ``--async-test-timeout`` of setup.cfg; ``@pytest.mark.gen_test(timeout=…)`` (seconds) is
for a test that wants another. LAW: nothing here knows clefstorm.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from parts.needs import need
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port

pytest_plugins = ["parts.browsers", "parts.certified", "parts.nginx"]

GRACE = 1.0
"""Seconds that tasks have after the test to end by themselves; only a leak waits so long."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(part): skipped where this real part is missing; fails under CI=true"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    if (
        isinstance(item, pytest.Function)
        and inspect.iscoroutinefunction(item.obj)
        and item.get_closest_marker("gen_test") is None
    ):
        item.add_marker(pytest.mark.gen_test)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        need(*marker.args)


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """The test's own loop, the current one from set-up to teardown.

    The test fails when a task outlives it, or when an exception got as far as the loop, where
    nobody would see it.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    unseen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: unseen.append(context))
    io_loop = IOLoop(asyncio_loop=loop, make_current=False)

    yield io_loop

    leaked = loop.run_until_complete(_leaked_tasks())
    loop.run_until_complete(loop.shutdown_asyncgens())
    io_loop.close()
    asyncio.set_event_loop(None)
    assert not leaked, "tasks outlived the test:\n" + "\n".join(map(repr, leaked))
    assert not unseen, "exceptions reached the loop:\n" + "\n".join(map(repr, unseen))


async def _leaked_tasks() -> set[asyncio.Task[Any]]:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return set()
    _done, leaked = await asyncio.wait(others, timeout=GRACE)
    for task in leaked:
        task.cancel()
    if leaked:
        await asyncio.wait(leaked, timeout=GRACE)
    return leaked


@pytest.fixture
def _unused_port() -> Iterator[tuple[socket.socket, int]]:
    """pytest-tornado's, behind ``http_port`` and ``http_server``, but closed when no server was."""
    sock, port = bind_unused_port()
    yield sock, port
    sock.close()


@pytest.fixture
def http_client(request: pytest.FixtureRequest, io_loop: IOLoop) -> Iterator[AsyncHTTPClient]:
    """A client that shows redirects instead of following them, for any number of parked requests.

    As with pytest-tornado's own, asking for it starts ``http_server`` where there is an ``app``.
    It keeps no cookies.
    """
    try:
        request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise
    else:
        request.getfixturevalue("http_server")
    client = AsyncHTTPClient(
        force_instance=True, max_clients=10_000, defaults={"follow_redirects": False}
    )
    yield client
    client.close()
