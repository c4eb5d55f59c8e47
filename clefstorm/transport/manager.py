"""One connection for each host and credentials, made by hooks when it is first wanted.

LAW: however many threads and tasks ask at once, a connection is made once; a slow hook for one
host holds up nobody who wants another; no lock is held while anything foreign runs.
Source: the interface of sleepwalker's ConnectionManager.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from clefstorm.errors import ConfigurationError, ConnectFailed
from clefstorm.transport.connection import Connection
from clefstorm.transport.connection_hook import ConnectionHook, ask
from clefstorm.transport.origin import Origin, read_hostname

_log = logging.getLogger("clefstorm.transport")

_Key = tuple[Origin, Hashable]
_AGAIN = object()
"""Stands for a connection that nobody got: whoever made it was interrupted."""


@dataclass(slots=True, eq=False)
class _Kept:
    """A connection that was made, and when it was last found."""

    connection: Any
    found: float


@dataclass(slots=True, eq=False)
class _Making:
    """A connection that is being made, and by which thread; None before that has begun."""

    outcome: Future[Any] = field(default_factory=Future)
    thread: int | None = None


class ConnectionManager:
    """Finds the one connection for a host and credentials; for threads and tasks alike.

    Hooks are asked in the order in which they were added; without any, a connection is
    ``connection_class(host, auth)``. Those that were made, not added, are closed and forgotten
    when they have not been found for ``idle_seconds`` and are not sending; of more than
    ``max_connections`` the one that was found longest ago and is not sending. So find a
    connection for each piece of work instead of keeping it. ``clock`` gives seconds. Raises
    ConfigurationError.
    """

    def __init__(
        self,
        *,
        connection_class: Callable[[str, Any], Any] = Connection,
        max_connections: int = 50,
        idle_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_connections < 1 or not 0 < idle_seconds < math.inf:
            raise ConfigurationError(
                "max_connections is at least 1, idle_seconds more than 0", code="manager_invalid"
            )
        self._connection_class = connection_class
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._hooks: tuple[ConnectionHook, ...] = ()
        self._added: dict[_Key, Any] = {}
        self._made: OrderedDict[_Key, _Kept] = OrderedDict()  # Found longest ago first.
        self._replaced: list[Any] = []  # To be closed when they are no longer sending.
        self._making: dict[_Key, _Making] = {}
        self._waiting: dict[int, _Making] = {}  # By thread.

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._added) + len(self._made)} connections>"

    def add_conn_hook(self, hook: ConnectionHook) -> None:
        """Ask this hook too, after those that were added before. Raises ConfigurationError."""
        if isinstance(hook, type) or not callable(getattr(hook, "connect", None)):
            raise ConfigurationError(
                "a hook is an instance of a subclass of ConnectionHook",
                code="hook_invalid",
                got=type(hook).__name__,
            )
        with self._lock:
            self._hooks = (*self._hooks, hook)

    def clear_hooks(self) -> None:
        """Drop all hooks; connections stay."""
        with self._lock:
            self._hooks = ()

    def add(self, host: str, auth: Hashable, conn: Any) -> None:
        """Keep this connection for the host and credentials until ``reset``.

        It replaces one that is there: one that was made is closed as soon as it is not sending;
        one that was added is its adder's to close. Raises URLError, ConfigurationError.
        """
        key = _key(host, auth)
        with self._lock:
            self._added[key] = conn
            made = self._made.pop(key, None)
            if made is not None and made.connection is not conn:
                self._replaced.append(made.connection)
            gone = self._let_go()
        _close(gone)

    def find(self, host: str, auth: Hashable) -> Any:
        """Return the connection for the host and credentials, made now if there is none.

        ``host`` is scheme, host and, where it is not the usual one, port. Blocks while a hook
        works: in an event loop use ``find_async``. Raises URLError; ConnectFailed, which is a
        ConnectionError (codes ``no_hook_connects``, ``hook_failed``); ConfigurationError
        (``hook_circle`` for hooks that wait for each other), and what the class raises.
        """
        key = _key(host, auth)
        me = threading.get_ident()
        while True:
            connection, making, mine = self._begin(key, me)
            if making is None:
                return connection
            if mine:
                return self._make(key, making)
            try:
                connection = making.outcome.result()
            finally:
                with self._lock:
                    del self._waiting[me]
            if connection is not _AGAIN:
                return connection

    async def find_async(self, host: str, auth: Hashable) -> Any:
        """As ``find``, with the hooks in a thread; whoever is cancelled harms no other."""
        key = _key(host, auth)
        while True:
            connection, making, mine = self._begin(key, None)
            if making is None:
                return connection
            if mine and not self._hooks:
                return self._make(key, making)
            if mine:
                loop = asyncio.get_running_loop()
                try:
                    made = loop.run_in_executor(None, self._make, key, making)
                except BaseException as error:
                    self._give_up(key, making, error)
                    raise
                return await asyncio.shield(made)
            connection = await asyncio.shield(asyncio.wrap_future(making.outcome))
            if connection is not _AGAIN:
                return connection

    def reset(self) -> None:
        """Close and forget all connections, those that are sending too; the hooks stay."""
        with self._lock:
            gone = [*self._added.values(), *self._replaced]
            gone += [kept.connection for kept in self._made.values()]
            self._added.clear()
            self._made.clear()
            self._replaced.clear()
        _close(gone)

    def _begin(self, key: _Key, thread: int | None) -> tuple[Any, _Making | None, bool]:
        """Return the connection, or one that is being made; True when that is for us to do.

        ``thread`` is going to wait for it; None when nobody is stopped by waiting.
        """
        mine = False
        gone: list[Any] = []
        try:
            with self._lock:
                gone = self._let_go()
                connection, making = self._held(key), None
                if connection is None:
                    making = self._making.get(key)
                    if making is None:
                        making = self._making[key] = _Making()
                        mine = True
                    elif thread is not None:
                        self._refuse_circle(making, thread)
                        self._waiting[thread] = making
        finally:
            _close(gone)
        return connection, making, mine

    def _held(self, key: _Key) -> Any:
        kept = self._made.get(key)
        if kept is None:
            return self._added.get(key)
        kept.found = self._clock()
        self._made.move_to_end(key)
        return kept.connection

    def _refuse_circle(self, making: _Making, thread: int) -> None:
        wanted: _Making | None = making
        while wanted is not None and wanted.thread is not None:
            if wanted.thread == thread:
                raise ConfigurationError(
                    "connection hooks wait for each other's connections", code="hook_circle"
                )
            wanted = self._waiting.get(wanted.thread)

    def _make(self, key: _Key, making: _Making) -> Any:
        making.thread = threading.get_ident()
        try:
            connection = self._connect(*key)
        except BaseException as error:
            self._give_up(key, making, error)
            raise
        with self._lock:
            del self._making[key]
            if key in self._added:
                self._replaced.append(connection)
                connection = self._added[key]
            else:
                self._made[key] = _Kept(connection, self._clock())
            gone = self._let_go()
        making.outcome.set_result(connection)
        _close(gone)
        return connection

    def _give_up(self, key: _Key, making: _Making, error: BaseException) -> None:
        with self._lock:
            del self._making[key]
        if isinstance(error, Exception):
            making.outcome.set_exception(error)
        else:
            making.outcome.set_result(_AGAIN)

    def _connect(self, origin: Origin, auth: Hashable) -> Any:
        hooks = self._hooks
        if not hooks:
            return self._connection_class(str(origin), auth)
        for hook in hooks:
            connection = ask(hook, str(origin), auth)
            if connection is not None:
                return connection
        raise ConnectFailed(
            "no connection hook connects to this host",
            code="no_hook_connects",
            host=origin,
            hooks=", ".join(type(hook).__qualname__ for hook in hooks),
        )

    def _let_go(self) -> list[Any]:
        """Take out what is to be closed; under the lock."""
        gone = [connection for connection in self._replaced if not _sending(connection)]
        self._replaced = [connection for connection in self._replaced if _sending(connection)]
        now = self._clock()
        excess = len(self._made) - self._max_connections
        newest = next(reversed(self._made), None)  # Whoever found it is about to send.
        for key, kept in list(self._made.items()):
            idle = now - kept.found >= self._idle_seconds
            if not idle and (excess <= 0 or key == newest):
                break
            if not _sending(kept.connection):
                gone.append(self._made.pop(key).connection)
                excess -= 1
            elif idle:
                kept.found = now
                self._made.move_to_end(key)
        return gone


def _key(host: str, auth: Hashable) -> _Key:
    try:
        hash(auth)
    except TypeError:
        raise ConfigurationError(
            "auth must be hashable, for connections are found by it: a tuple, not a list",
            code="auth_invalid",
            got=type(auth).__name__,
        ) from None
    return read_hostname(host, None), auth


def _sending(connection: Any) -> bool:
    return bool(getattr(connection, "sending", False))


def _close(connections: Iterable[Any]) -> None:
    for connection in connections:
        try:
            connection.close()
        except Exception as error:  # Foreign, and none of the caller's business.
            _log.warning("a connection could not be closed: %s", type(error).__name__)
