"""The blocking driver: an event loop in a thread of its own, on which blocking callers wait.

There is one for the process, so that threads share connections, caches and fetches under way as
tasks do. LAW: whatever blocks is the asynchronous text, run here; there is no second one. A
caller whose thread runs a loop is refused, because waiting would stop that loop.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from clefstorm.errors import ConfigurationError

T = TypeVar("T")


def refuse_in_loop() -> None:
    """Raise ConfigurationError (``blocking_in_loop``) in a thread that runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise ConfigurationError(
        "this call blocks, and would stop the event loop that runs here: use its async twin, "
        "AsyncConnection, AsyncPodConnection or AsyncClient (clefstorm.async_connections)",
        code="blocking_in_loop",
    )


def run_blocking(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what the coroutine returns that ``call`` makes, or raise what it raises.

    May be called from any thread that runs no event loop; an interrupted wait (Ctrl-C) cancels
    the coroutine. Raises ConfigurationError (code ``blocking_in_loop``).
    """
    refuse_in_loop()
    future = asyncio.run_coroutine_threadsafe(call(), _loop_thread.loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


class Threads(ThreadPoolExecutor):
    """One thread for each job, so that none waits for another to end.

    Python's own pool takes no job when the main thread has ended, though other threads may still
    work, and a look-up that hangs keeps the process from ending.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        call = partial(fn, *args, **kwargs)
        threading.Thread(target=_settle, args=(future, call), daemon=True).start()
        return future


def _settle(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class _LoopThread:
    """Starts with the first call, and again in a process that was forked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(Threads())
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="clefstorm-blocking", daemon=True
                )
                self._thread.start()
            return self._loop

    def stop(self) -> None:
        with self._lock:
            if self._loop is None or self._thread is None:
                return
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None


_loop_thread = _LoopThread()


def _begin_anew() -> None:
    """A fork takes no thread along, and a lock that another thread held stays locked."""
    global _loop_thread
    _loop_thread = _LoopThread()


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(lambda: _loop_thread.stop())
