"""One connection for each host and credentials, made by hooks when it is first wanted.

LAW: however many threads and tasks ask at once, a connection is made once; a slow hook for one
host holds up nobody who wants another; no lock is held while anything foreign runs.
Source: the interface of sleepwalker's ConnectionManager.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from clefstorm.errors import ConfigurationError, ConnectFailed
from clefstorm.transport.connection import Connection
from clefstorm.transport.connection_hook import ConnectionHook, ask, check_connection, check_hook
from clefstorm.transport.connection_shelf import ConnectionShelf, Key
from clefstorm.transport.loop_thread import Threads
from clefstorm.transport.origin import Origin, read_hostname

_log = logging.getLogger("clefstorm.transport")

_AGAIN = object()
"""Stands for a connection that nobody got: whoever made it was interrupted."""


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
    ``max_connections`` those that were found longest ago, once that is 5 seconds, and are not
    sending. So find a connection for each piece of work instead of keeping it. ``clock`` gives
    seconds. Raises ConfigurationError.
    """

    def __init__(
        self,
        *,
        connection_class: Callable[[str, Any], Any] = Connection,
        max_connections: int = 50,
        idle_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shelf = ConnectionShelf(
            max_connections=max_connections, idle_seconds=idle_seconds, clock=clock
        )
        if not callable(connection_class):
            raise ConfigurationError(
                "connection_class is a class such as Connection or AsyncConnection",
                code="manager_invalid",
                got=connection_class,
            )
        self._connection_class = connection_class
        self._lock = threading.Lock()
        self._hooks: tuple[ConnectionHook, ...] = ()
        self._making: dict[Key, _Making] = {}
        self._waiting: dict[int, _Making] = {}  # By thread.
        self._threads = Threads()
        _managers.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._shelf)} connections>"

    def add_conn_hook(self, hook: ConnectionHook) -> None:
        """Ask this hook too, after those that were added before. Raises ConfigurationError."""
        check_hook(hook)
        with self._lock:
            self._hooks = (*self._hooks, hook)

    def clear_hooks(self) -> None:
        """Drop all hooks; connections stay."""
        with self._lock:
            self._hooks = ()

    def add(self, host: str, auth: Hashable, conn: Any) -> None:
        """Keep this connection for the host and credentials until ``reset``.

        It replaces one that is there: one that was made is closed when it is not sending, and was
        not found within the last 5 seconds; one that was added is its adder's to close. Raises
        URLError, ConfigurationError.
        """
        key = _key(host, auth)
        check_connection(conn, str(key[0]))
        with self._lock:
            self._shelf.add(key, conn)
            gone = self._shelf.take_ended()
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
                    # A pool could be full of hooks that wait for this one.
                    made = loop.run_in_executor(self._threads, self._make, key, making)
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
            gone = self._shelf.take_all()
        _close(gone)

    def _begin(self, key: Key, thread: int | None) -> tuple[Any, _Making | None, bool]:
        """Return the connection, or one that is being made; True when that is for us to do.

        ``thread`` is going to wait for it; None when nobody is stopped by waiting.
        """
        mine = False
        gone: list[Any] = []
        try:
            with self._lock:
                gone = self._shelf.take_ended()
                connection, making = self._shelf.find(key), None
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

    def _refuse_circle(self, making: _Making, thread: int) -> None:
        wanted: _Making | None = making
        while wanted is not None and wanted.thread is not None:
            if wanted.thread == thread:
                raise ConfigurationError(
                    "connection hooks wait for each other's connections", code="hook_circle"
                )
            wanted = self._waiting.get(wanted.thread)

    def _make(self, key: Key, making: _Making) -> Any:
        making.thread = threading.get_ident()
        try:
            connection = self._connect(*key)
        except BaseException as error:
            self._give_up(key, making, error)
            raise
        with self._lock:
            del self._making[key]
            connection = self._shelf.put(key, connection)
            gone = self._shelf.take_ended()
        making.outcome.set_result(connection)
        _close(gone)
        return connection

    def _give_up(self, key: Key, making: _Making, error: BaseException) -> None:
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

    def after_fork(self) -> None:
        """Begin anew in a forked process, to which only the thread that forked came along."""
        self._lock = threading.Lock()  # Another thread may have held it.
        me = threading.get_ident()
        self._making = {key: each for key, each in self._making.items() if each.thread == me}
        self._waiting = {}


_managers: weakref.WeakSet[ConnectionManager] = weakref.WeakSet()


def _begin_anew() -> None:
    for manager in list(_managers):
        manager.after_fork()


os.register_at_fork(after_in_child=_begin_anew)


def _key(host: str, auth: Hashable) -> Key:
    try:
        hash(auth)
    except TypeError:
        raise ConfigurationError(
            "auth must be hashable, for connections are found by it: a tuple, not a list",
            code="auth_invalid",
            got=type(auth).__name__,
        ) from None
    return read_hostname(host, None), auth


def _close(connections: Iterable[Any]) -> None:
    for connection in connections:
        try:
            connection.close()
        except Exception as error:  # Foreign, and none of the caller's business.
            _log.warning("a connection could not be closed: %s", type(error).__name__)
