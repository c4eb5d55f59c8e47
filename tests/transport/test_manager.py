"""ConnectionManager: one connection for each host and credentials, and the hooks that make it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from transport.json_server import JSONServer

from clefstorm.errors import ConfigurationError, ConnectFailed, URLError
from clefstorm.transport import (
    NO_AUTH,
    AsyncConnection,
    Bearer,
    Connection,
    ConnectionHook,
    ConnectionManager,
)
from clefstorm.transport.connection_shelf import FOUND_JUST_NOW

HOST = "https://api.example"


class Made:
    """Something like a connection."""

    def __init__(self, host: str, auth: Any) -> None:
        self.host = host
        self.auth = auth
        self.sending = 0
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


class Hook(ConnectionHook):
    """Makes connections to hosts that have ``part`` in their name, and remembers who asked."""

    def __init__(self, part: str = "") -> None:
        self.part = part
        self.asked: list[tuple[str, Any]] = []
        self.made: list[Made] = []

    def connect(self, host: str, auth: Any) -> Made | None:
        self.asked.append((host, auth))
        if self.part not in host:
            return None
        self.made.append(Made(host, auth))
        return self.made[-1]


class SlowHook(Hook):
    """Waits, for hosts with "slow" in their name, until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.released = threading.Event(), threading.Event()

    def connect(self, host: str, auth: Any) -> Made | None:
        if "slow" in host:
            self.begun.set()
            assert self.released.wait(20)
        return super().connect(host, auth)


def manager_of(*hooks: ConnectionHook, **options: Any) -> ConnectionManager:
    manager = ConnectionManager(**options)
    for hook in hooks:
        manager.add_conn_hook(hook)
    return manager


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param(Connection, {}, id="blocking"),
        pytest.param(AsyncConnection, {"connection_class": AsyncConnection}, id="async"),
    ],
)
def test_without_a_hook(kind: type[Any], options: dict[str, Any]) -> None:
    """With no hook a plain connection is made for the host and credentials, once."""
    manager = ConnectionManager(**options)
    connection = manager.find(HOST, ("u", "s3cret"))
    assert type(connection) is kind
    assert str(connection.origin) == HOST
    assert manager.find(HOST, ("u", "s3cret")) is connection
    assert repr(manager) == "<ConnectionManager of 1 connections>"


def test_it_speaks(json_server: JSONServer) -> None:
    """What is found can be used."""
    connection = ConnectionManager().find(json_server.url, Bearer("t"))
    assert connection.json_request("GET", "/") == {}
    assert json_server.values("authorization") == ["Bearer t"]


def test_one_for_each_host_and_credentials() -> None:
    """Other credentials, another host, scheme or port is another connection."""
    hook = Hook()
    manager = manager_of(hook)
    keys = [
        (HOST, NO_AUTH),
        (HOST, None),
        (HOST, ("u", "p")),
        (HOST, ("u", "q")),
        (HOST, Bearer("t")),
        ("http://api.example", NO_AUTH),
        ("https://api.example:8443", NO_AUTH),
        ("https://www.api.example", NO_AUTH),
    ]
    found = [manager.find(*key) for key in keys]
    assert len(set(map(id, found))) == len(keys)
    assert [manager.find(*key) for key in keys] == found
    assert hook.asked == keys


@pytest.mark.parametrize(
    "host", ["HTTPS://API.Example", "https://api.example:443", "https://api.example/"]
)
def test_a_host_is_the_same_however_it_is_written(host: str) -> None:
    """Scheme and host have no case, and the usual port may be left out."""
    hook = Hook()
    manager = manager_of(hook)
    assert manager.find(host, NO_AUTH) is manager.find(HOST, NO_AUTH)
    assert hook.asked == [(HOST, NO_AUTH)]


@pytest.mark.parametrize(
    ("host", "auth", "kind", "code"),
    [
        pytest.param("api.example", NO_AUTH, URLError, "url_invalid", id="no_scheme"),
        pytest.param("https://api.example/path", NO_AUTH, URLError, "url_invalid", id="path"),
        pytest.param("https://u:s3cret@api.example", None, URLError, "url_invalid", id="user"),
        pytest.param(HOST, ["u", "s3cret"], ConfigurationError, "auth_invalid", id="list"),
    ],
)
def test_what_cannot_be_found(host: str, auth: Any, kind: type[Exception], code: str) -> None:
    """A host without scheme, and credentials that are no key, are refused and not quoted."""
    manager = ConnectionManager()
    for call in (manager.find, lambda host, auth: manager.add(host, auth, object())):
        with pytest.raises(kind) as caught:
            call(host, auth)
        assert getattr(caught.value, "code", None) == code
        assert "s3cret" not in str(caught.value)


# -- hooks --------------------------------------------------------------------------------


def test_hooks_are_asked_in_order() -> None:
    """A hook that returns None passes to the next; they are asked in the order of adding."""
    first, second, third = Hook("first"), Hook("second"), Hook()
    manager = manager_of(first, second, third)
    manager.find("https://second.example", NO_AUTH)
    assert [len(hook.asked) for hook in (first, second, third)] == [1, 1, 0]
    manager.find("https://other.example", NO_AUTH)
    assert [len(hook.asked) for hook in (first, second, third)] == [2, 2, 1]


def test_no_hook_connects() -> None:
    """When all hooks pass, find raises ConnectionError, names them, and asks again next time."""
    hook = Hook("nothing")
    manager = manager_of(hook)
    for _ in range(2):
        with pytest.raises(ConnectionError) as caught:
            manager.find(HOST, ("u", "s3cret"))
        assert isinstance(caught.value, ConnectFailed)
        assert caught.value.code == "no_hook_connects"
        assert caught.value.evidence == {"host": HOST, "hooks": "Hook"}
    assert len(hook.asked) == 2


def test_clear_hooks() -> None:
    """Without its hooks a manager keeps what they made, and makes plain ones again."""
    manager = manager_of(Hook())
    made = manager.find(HOST, NO_AUTH)
    manager.clear_hooks()
    assert manager.find(HOST, NO_AUTH) is made
    assert type(manager.find("https://other.example", NO_AUTH)) is Connection


class Failing(ConnectionHook):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def connect(self, host: str, auth: Any) -> Any:
        raise self.error


def test_a_hook_that_raises() -> None:
    """A hook's exception is told by class and place; nothing of what it says is shown."""
    manager = manager_of(Failing(ValueError("s3cret")), Hook())
    with pytest.raises(ConnectFailed) as caught:
        manager.find(HOST, ("u", "s3cret"))
    error = caught.value
    assert error.code == "hook_failed"
    assert error.evidence["hook"] == "Failing"
    assert error.evidence["reason"] == "ValueError"
    assert error.evidence["at"].startswith("test_manager.py:")
    assert "s3cret" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_hook_that_raises_ours() -> None:
    """An error of ours shows no secret, so it is chained and its code told."""
    inner = ConfigurationError("no CA file", code="verify_unreadable")
    manager = manager_of(Failing(inner))
    with pytest.raises(ConnectFailed) as caught:
        manager.find(HOST, NO_AUTH)
    assert caught.value.__cause__ is inner
    assert caught.value.evidence["reason"] == "verify_unreadable"


def test_a_hook_that_is_a_coroutine() -> None:
    """A hook that is written with async is refused, not left waiting."""

    class Wrong(ConnectionHook):
        async def connect(self, host: str, auth: Any) -> Any:
            return Made(host, auth)

    with pytest.raises(ConnectFailed, match="plain function") as caught:
        manager_of(Wrong()).find(HOST, NO_AUTH)
    assert caught.value.code == "hook_failed"


@pytest.mark.parametrize("hook", [Hook, object(), None, lambda host, auth: None])
def test_what_is_no_hook(hook: Any) -> None:
    """A class instead of its instance, or anything without connect, is refused when added."""
    manager = ConnectionManager()
    with pytest.raises(ConfigurationError) as caught:
        manager.add_conn_hook(hook)
    assert caught.value.code == "hook_invalid"


def test_anything_with_connect_is_a_hook() -> None:
    """A hook need not be a subclass of ours, nor what it returns."""

    class Similar:
        def connect(self, host: str, auth: Any) -> str:
            return f"to {host}"

    manager = manager_of(Similar())  # type: ignore[arg-type]
    assert manager.find(HOST, NO_AUTH) == f"to {HOST}"


def test_hooks_in_a_circle() -> None:
    """A hook may find another host; those that would wait for themselves are told."""

    class Through(ConnectionHook):
        def connect(self, host: str, auth: Any) -> Any:
            if "gate" in host:
                return Made(host, auth)
            other = "gate" if "api" in host else "loop"
            return manager.find(f"https://{other}.example", auth)

    manager = manager_of(Through())
    assert manager.find(HOST, NO_AUTH) is manager.find("https://gate.example", NO_AUTH)
    with pytest.raises(ConnectFailed) as caught:
        manager.find("https://loop.example", NO_AUTH)
    assert caught.value.evidence["reason"] == "hook_circle"


def test_hooks_in_a_circle_of_threads() -> None:
    """Two threads whose hooks wait for each other's connection do not hang."""
    both = threading.Barrier(2)

    class Crossing(ConnectionHook):
        def connect(self, host: str, auth: Any) -> Any:
            both.wait(20)
            other = "b" if host.endswith("//a.example") else "a"
            return manager.find(f"https://{other}.example", auth)

    manager = manager_of(Crossing())
    with ThreadPoolExecutor(2) as threads:
        finding = [
            threads.submit(manager.find, f"https://{name}.example", NO_AUTH) for name in "ab"
        ]
        codes = {type(found.exception(20)).__name__ for found in finding}
    assert codes == {"ConnectFailed"}


# -- concurrency --------------------------------------------------------------------------


def test_threads_at_once() -> None:
    """However many threads ask at once, a hook is called once, and all get its connection."""
    hook = SlowHook()
    manager = manager_of(hook)
    with ThreadPoolExecutor(16) as threads:
        finding = [threads.submit(manager.find, "https://slow.example", NO_AUTH) for _ in range(16)]
        hook.begun.wait(20)
        hook.released.set()
        found = {id(each.result(20)) for each in finding}
    assert len(found) == 1
    assert len(hook.asked) == 1


def test_a_failure_is_shared_too() -> None:
    """Those who waited for a hook that fails get its error; it is not asked for each of them."""
    hook = SlowHook()
    hook.part = "nothing"
    manager = manager_of(hook)
    with ThreadPoolExecutor(4) as threads:
        finding = [threads.submit(manager.find, "https://slow.example", NO_AUTH) for _ in range(4)]
        hook.begun.wait(20)
        while len(manager._waiting) < 3:
            threading.Event().wait(0.005)
        hook.released.set()
        assert {type(each.exception(20)) for each in finding} == {ConnectFailed}
    assert len(hook.asked) == 1
    assert not manager._waiting


def test_a_slow_hook_holds_up_nobody_else() -> None:
    """While a hook connects to one host, other hosts are found, and other credentials."""
    hook = SlowHook()
    manager = manager_of(hook)
    with ThreadPoolExecutor(1) as threads:
        finding = threads.submit(manager.find, "https://slow.example", NO_AUTH)
        hook.begun.wait(20)
        assert manager.find(HOST, NO_AUTH).host == HOST
        assert not finding.done()
        hook.released.set()
        finding.result(20)


def test_an_interrupted_hook() -> None:
    """Ctrl-C in a hook is no error of the others: one of them asks it again."""

    class Interrupted(SlowHook):
        def connect(self, host: str, auth: Any) -> Made | None:
            made = super().connect(host, auth)
            if len(self.asked) == 1:
                raise KeyboardInterrupt
            return made

    hook = Interrupted()
    manager = manager_of(hook)

    def find() -> Any:
        try:
            return manager.find("https://slow.example", NO_AUTH)
        except KeyboardInterrupt:
            return "interrupted"

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(find)
        hook.begun.wait(20)
        second = threads.submit(find)
        while not manager._waiting:
            threading.Event().wait(0.005)
        hook.released.set()
        assert first.result(20) == "interrupted"
        assert isinstance(second.result(20), Made)


async def test_tasks_at_once() -> None:
    """However many tasks ask at once, a hook is called once, in a thread, and others go on."""
    hook = SlowHook()
    manager = manager_of(hook)
    # More than there are threads for them all to wait in.
    finding = [
        asyncio.ensure_future(manager.find_async("https://slow.example", NO_AUTH))
        for _ in range(100)
    ]
    other = await manager.find_async(HOST, NO_AUTH)
    assert other.host == HOST
    assert not any(each.done() for each in finding)
    finding.pop().cancel()
    finding.pop(0).cancel()
    hook.released.set()
    assert len({id(made) for made in await asyncio.gather(*finding)}) == 1
    assert [host for host, _ in hook.asked].count("https://slow.example") == 1
    assert await manager.find_async(HOST, NO_AUTH) is other
    assert manager.find(HOST, NO_AUTH) is other


async def test_tasks_and_an_interrupted_hook() -> None:
    """A task that waits for a hook which is interrupted asks it again."""
    hook = SlowHook()
    manager = manager_of(hook)
    hook.released.set()
    key = next(iter([*_keys(manager, "https://slow.example")]))
    _, making, _ = manager._begin(key, None)
    finding = asyncio.ensure_future(manager.find_async("https://slow.example", NO_AUTH))
    await asyncio.sleep(0.01)
    assert making is not None
    assert not finding.done()
    manager._give_up(key, making, KeyboardInterrupt())
    assert isinstance(await finding, Made)


async def test_tasks_whose_hooks_find_another_host() -> None:
    """However many hooks wait for one connection, the thread that makes it is to be had."""
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(1)
    loop.set_default_executor(pool)
    begun, gate_wanted = threading.Event(), threading.Event()

    class ThroughTheGate(Hook):
        def connect(self, host: str, auth: Any) -> Made | None:
            if "gate" not in host:
                begun.set()
                assert gate_wanted.wait(20)
                # From another thread, so that waiting for it can be given up.
                other = ThreadPoolExecutor(1)
                other.submit(manager.find, "https://gate.example", NO_AUTH).result(5)
                other.shutdown()
            return super().connect(host, auth)

    manager = manager_of(ThroughTheGate())
    finding = [asyncio.ensure_future(manager.find_async(HOST, NO_AUTH))]
    while not begun.is_set():
        await asyncio.sleep(0.005)
    finding.append(asyncio.ensure_future(manager.find_async("https://gate.example", NO_AUTH)))
    await asyncio.sleep(0)
    gate_wanted.set()
    assert [made.host for made in await asyncio.gather(*finding)] == [HOST, "https://gate.example"]


def _keys(manager: ConnectionManager, host: str) -> Any:
    from clefstorm.transport.manager import _key

    yield _key(host, NO_AUTH)


async def test_tasks_without_threads_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no thread can be had, the error is told, and the next may try."""
    manager = manager_of(Hook())
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_in_executor", lambda *_args: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await manager.find_async(HOST, NO_AUTH)
    assert isinstance(await manager.find_async(HOST, NO_AUTH), Made)


async def test_tasks_get_the_failure() -> None:
    """What a hook says in a thread is raised in the task."""
    manager = manager_of(Failing(ValueError("s3cret")))
    for found in await asyncio.gather(
        *(manager.find_async(HOST, NO_AUTH) for _ in range(3)), return_exceptions=True
    ):
        assert isinstance(found, ConnectFailed)
        assert found.code == "hook_failed"


# -- added, replaced, reset ---------------------------------------------------------------


def test_an_added_connection_is_found() -> None:
    """What was added is found instead of asking a hook, and never ends by itself."""
    now = 0.0
    hook = Hook()
    manager = manager_of(hook, clock=lambda: now, max_connections=1)
    added = Made(HOST, NO_AUTH)
    manager.add(HOST.upper().replace("HTTPS", "https"), NO_AUTH, added)
    for now in (0.0, 1e9):  # noqa: B007
        assert manager.find(HOST, NO_AUTH) is added
        manager.find("https://a.example", NO_AUTH)
        manager.find("https://b.example", NO_AUTH)
    assert not added.closed
    assert (HOST, NO_AUTH) not in hook.asked


def test_add_replaces() -> None:
    """A made one that is replaced is closed; an added one is its adder's to close."""
    now = 0.0
    manager = manager_of(Hook(), clock=lambda: now)
    made = manager.find(HOST, NO_AUTH)
    now = FOUND_JUST_NOW
    first, second = Made(HOST, NO_AUTH), Made(HOST, NO_AUTH)
    manager.add(HOST, NO_AUTH, first)
    assert manager.find(HOST, NO_AUTH) is first
    manager.add(HOST, NO_AUTH, second)
    assert manager.find(HOST, NO_AUTH) is second
    assert [made.closed, first.closed, second.closed] == [1, 0, 0]


def test_adding_what_was_made_keeps_it_open() -> None:
    """Whoever adds the very connection that was found keeps it from ending."""
    manager = manager_of(Hook())
    made = manager.find(HOST, NO_AUTH)
    manager.add(HOST, NO_AUTH, made)
    assert manager.find(HOST, NO_AUTH) is made
    assert not made.closed


def test_one_that_is_replaced_while_it_sends() -> None:
    """Calls under way come to their end before a replaced connection is closed."""
    now = 0.0
    manager = manager_of(Hook(), clock=lambda: now)
    made = manager.find(HOST, NO_AUTH)
    made.sending = 1
    now = FOUND_JUST_NOW
    manager.add(HOST, NO_AUTH, Made(HOST, NO_AUTH))
    manager.find(HOST, NO_AUTH)
    assert not made.closed
    made.sending = 0
    manager.find(HOST, NO_AUTH)
    manager.find(HOST, NO_AUTH)
    assert made.closed == 1


def test_one_that_was_found_just_now() -> None:
    """Whoever found a connection comes to send, though it is replaced or one too many by then."""
    now = 0.0
    manager = manager_of(Hook(), clock=lambda: now, max_connections=1)
    replaced = manager.find(HOST, NO_AUTH)
    manager.add(HOST, NO_AUTH, Made(HOST, NO_AUTH))
    a, b = (manager.find(f"https://{name}.example", NO_AUTH) for name in "ab")
    now = FOUND_JUST_NOW - 0.1
    c = manager.find("https://c.example", NO_AUTH)
    assert [each.closed for each in (replaced, a, b, c)] == [0, 0, 0, 0]
    now = FOUND_JUST_NOW
    assert manager.find("https://c.example", NO_AUTH) is c
    assert [each.closed for each in (replaced, a, b, c)] == [1, 1, 1, 0]


def test_one_that_is_added_while_a_hook_works() -> None:
    """What is added wins over what a hook is just making, which is closed."""
    hook = SlowHook()
    manager = manager_of(hook)
    added = Made("", NO_AUTH)
    with ThreadPoolExecutor(1) as threads:
        finding = threads.submit(manager.find, "https://slow.example", NO_AUTH)
        hook.begun.wait(20)
        manager.add("https://slow.example", NO_AUTH, added)
        hook.released.set()
        assert finding.result(20) is added
    assert manager.find("https://slow.example", NO_AUTH) is added
    assert not added.closed
    assert [made.closed for made in hook.made] == [1]


def test_reset() -> None:
    """reset closes and forgets all, made and added and replaced; hooks make new ones then."""
    manager = manager_of(Hook())
    made = manager.find(HOST, NO_AUTH)
    replaced = manager.find("https://other.example", NO_AUTH)
    made.sending = replaced.sending = 1
    added = Made("", NO_AUTH)
    manager.add("https://other.example", NO_AUTH, added)
    manager.reset()
    assert [each.closed for each in (made, replaced, added)] == [1, 1, 1]
    assert manager.find(HOST, NO_AUTH) is not made
    assert isinstance(manager.find("https://other.example", NO_AUTH), Made)


def test_real_connections_are_closed(json_server: JSONServer) -> None:
    """After reset a connection that was found before is at its end."""
    manager = ConnectionManager()
    connection = manager.find(json_server.url, NO_AUTH)
    connection.json_request("GET", "/")
    manager.reset()
    with pytest.raises(ConnectFailed) as caught:
        connection.json_request("GET", "/")
    assert caught.value.code == "connection_closed"


def test_a_connection_that_cannot_be_closed(caplog: pytest.LogCaptureFixture) -> None:
    """A foreign connection that fails to close harms nobody, and is told by its class alone."""

    class Stubborn(Made):
        def close(self) -> None:
            raise ValueError("s3cret")

    manager = manager_of(Hook())
    manager.add(HOST, NO_AUTH, Stubborn(HOST, NO_AUTH))
    manager.add("https://other.example", NO_AUTH, other := Made("", NO_AUTH))
    with caplog.at_level(logging.WARNING):
        manager.reset()
    assert other.closed == 1
    assert [record.message for record in caplog.records] == [
        "a connection could not be closed: ValueError"
    ]


# -- idle and bound -------------------------------------------------------------------------


def test_idle_connections_end() -> None:
    """A connection that nobody found for idle_seconds is closed, and made anew when wanted."""
    now = 0.0
    manager = manager_of(Hook(), clock=lambda: now, idle_seconds=10)
    made = manager.find(HOST, NO_AUTH)
    now = 9.9
    assert manager.find(HOST, NO_AUTH) is made
    now = 19.8
    assert manager.find(HOST, NO_AUTH) is made
    now = 29.8
    assert manager.find(HOST, NO_AUTH) is not made
    assert made.closed == 1


def test_one_that_sends_is_not_idle() -> None:
    """A connection that is in use stays, and its time begins anew."""
    now = 0.0
    manager = manager_of(Hook(), clock=lambda: now, idle_seconds=10)
    busy, idle = manager.find("https://busy.example", NO_AUTH), manager.find(HOST, NO_AUTH)
    busy.sending = 1
    now = 10.0
    manager.find("https://other.example", NO_AUTH)
    assert (busy.closed, idle.closed) == (0, 1)
    busy.sending = 0
    now = 19.9
    manager.find("https://other.example", NO_AUTH)
    assert not busy.closed
    now = 20.0
    manager.find("https://other.example", NO_AUTH)
    assert busy.closed == 1


def test_connections_are_bounded() -> None:
    """Beyond max_connections the one found longest ago goes that is not sending."""
    now = 0.0
    manager = manager_of(Hook(), clock=lambda: now, max_connections=3)
    a, b, c = (manager.find(f"https://{name}.example", NO_AUTH) for name in "abc")
    a.sending = 1
    now = FOUND_JUST_NOW
    assert manager.find("https://b.example", NO_AUTH) is b
    d = manager.find("https://d.example", NO_AUTH)
    assert [each.closed for each in (a, b, c, d)] == [0, 0, 1, 0]


def test_beyond_the_bound_while_all_send() -> None:
    """While all are sending one more is made; it goes when it is no longer needed."""
    now = 0.0
    manager = manager_of(Hook(), clock=lambda: now, max_connections=2)
    a, b = (manager.find(f"https://{name}.example", NO_AUTH) for name in "ab")
    a.sending = b.sending = 1
    now = FOUND_JUST_NOW
    c = manager.find("https://c.example", NO_AUTH)
    assert not c.closed
    assert manager.find("https://c.example", NO_AUTH) is c
    b.sending = 0
    manager.find("https://c.example", NO_AUTH)
    assert [a.closed, b.closed, c.closed] == [0, 1, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"max_connections": 0},
        {"idle_seconds": 0},
        {"idle_seconds": float("inf")},
        {"idle_seconds": float("nan")},
    ],
)
def test_settings(options: dict[str, Any]) -> None:
    """A bound that bounds nothing is refused."""
    ConnectionManager(max_connections=1, idle_seconds=0.1)
    with pytest.raises(ConfigurationError) as caught:
        ConnectionManager(**options)
    assert caught.value.code == "manager_invalid"


def test_what_the_class_raises_comes_through(
    new_json_server: Callable[[], JSONServer],
) -> None:
    """Credentials that the plain connection refuses are an error of find, each time."""
    manager = ConnectionManager()
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            manager.find("http://api.example", ("u", "s3cret"))
        assert caught.value.code == "auth_needs_https"
    assert new_json_server().seen == []
