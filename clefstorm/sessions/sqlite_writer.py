"""The one thread of a process that writes into a SQLite file.

LAW: work that is queued together is committed together, each piece under a savepoint of its own,
and nobody hears of a result before the commit that holds it. A thread that waits for a lock keeps
nobody waiting for longer than that: whoever queued meanwhile fails with it. The thread itself
does not die of an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from clefstorm.sessions.sqlite_file import SQLiteFile, unavailable
from clefstorm.sessions.store import store_closed

T = TypeVar("T")

_MOST_TOGETHER = 256


@dataclass(slots=True, eq=False)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    durable: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class SQLiteWriter:
    """Runs work on the file's writing connection; thread and connection begin with the first."""

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        # From here on the thread's own.
        self._connection: sqlite3.Connection | None = None
        self._synchronous = ""
        self._stopping = False

    async def run(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Run ``work(connection)`` in a transaction, and return its result once committed.

        What is committed survives the end of the process; with ``durable`` also, as far as the
        disk keeps its word, a loss of power. A caller that is cancelled leaves the work to be
        done. Raises what work raised, and StoreUnavailable in place of every sqlite3.Error.
        """
        if self._closed:
            raise store_closed()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="clefstorm-sqlite", daemon=True
            )
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Job(work, durable, loop, future))
        return await future

    async def close(self) -> None:
        """Let the thread do what is queued, close its connection and end."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        while not self._stopping:
            jobs = [job for job in [self._queue.get()] if job is not None]
            self._stopping = not jobs
            jobs += self._queued(_MOST_TOGETHER)
            if jobs:
                self._commit(jobs)
        if self._connection is not None:
            self._connection.close()

    def _queued(self, most: int) -> list[_Job]:
        jobs: list[_Job] = []
        with contextlib.suppress(queue.Empty):
            while len(jobs) < most:
                job = self._queue.get_nowait()
                if job is None:
                    self._stopping = True
                else:
                    jobs.append(job)
        return jobs

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            connection = self._begin(durable=any(job.durable for job in jobs))
        except Exception as error:
            jobs += self._queued(self._queue.qsize())
            _fail(jobs, error)
        else:
            try:
                for job in jobs:
                    _attempt(connection, job)
                connection.execute("COMMIT")
            except Exception as error:
                _fail(jobs, error)
                with contextlib.suppress(sqlite3.Error):
                    connection.rollback()
        _settle(jobs)

    def _begin(self, *, durable: bool) -> sqlite3.Connection:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._file.open_writer()
        self._file.check_present()
        # In WAL mode NORMAL already survives a killed process; FULL also flushes each commit.
        synchronous = "FULL" if durable else "NORMAL"
        if self._synchronous != synchronous:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        connection.execute("BEGIN IMMEDIATE")
        return connection


def _attempt(connection: sqlite3.Connection, job: _Job) -> None:
    """Run one job; raises when the transaction is lost with all that went before."""
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO job")
        _fail([job], error)
    connection.execute("RELEASE job")


def _fail(jobs: Iterable[_Job], error: Exception) -> None:
    for job in jobs:
        job.error = unavailable(error) if isinstance(error, sqlite3.Error) else error


def _settle(jobs: list[_Job]) -> None:
    for loop in {job.loop for job in jobs}:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell, [job for job in jobs if job.loop is loop])


def _tell(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
