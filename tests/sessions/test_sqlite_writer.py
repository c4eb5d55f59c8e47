"""The writing thread: what is queued together, what survives, what a failure takes with it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clefstorm.errors import SessionEnded, StoreUnavailable
from clefstorm.sessions import sqlite_writer
from clefstorm.sessions.sqlite_file import SQLiteFile
from clefstorm.sessions.sqlite_writer import SQLiteWriter


@asynccontextmanager
async def writing(tmp_path: Path) -> AsyncIterator[SQLiteWriter]:
    writer = SQLiteWriter(SQLiteFile(tmp_path / "sessions.sqlite"))
    try:
        yield writer
    finally:
        await writer.close()


@asynccontextmanager
async def held(writer: SQLiteWriter) -> AsyncIterator[None]:
    """Keep the thread busy inside, so that what is queued meanwhile is queued together."""
    busy, release = threading.Event(), threading.Event()

    def hold(db: sqlite3.Connection) -> None:
        busy.set()
        assert release.wait(10)

    holding = asyncio.ensure_future(writer.run(hold))
    try:
        await asyncio.to_thread(busy.wait, 10)
        yield
        # Let those inside reach the queue.
        await asyncio.sleep(0)
    finally:
        release.set()
        await holding


def put(name: str) -> Callable[[sqlite3.Connection], str]:
    def work(db: sqlite3.Connection) -> str:
        db.execute("INSERT INTO names VALUES (?, ?, 0)", (name.encode(), b""))
        return name

    return work


def names(db: sqlite3.Connection) -> list[str]:
    return [name.decode() for (name,) in db.execute("SELECT name FROM names ORDER BY name")]


async def test_what_is_queued_together_is_committed_once(tmp_path: Path) -> None:
    """Fifty writes that wait for the thread share one commit."""
    async with writing(tmp_path) as writer:
        statements: list[str] = []
        await writer.run(lambda db: db.set_trace_callback(statements.append))
        async with held(writer):
            statements.clear()
            together = [asyncio.ensure_future(writer.run(put(f"{n:02}"))) for n in range(50)]
        assert await asyncio.gather(*together) == [f"{n:02}" for n in range(50)]
        # The one that held the thread, and the fifty.
        assert statements.count("COMMIT") == 2
        assert len(await writer.run(names)) == 50


async def test_a_commit_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait, one transaction takes so many and no more."""
    monkeypatch.setattr(sqlite_writer, "_MOST_TOGETHER", 9)
    async with writing(tmp_path) as writer:
        statements: list[str] = []
        await writer.run(lambda db: db.set_trace_callback(statements.append))
        async with held(writer):
            statements.clear()
            together = [asyncio.ensure_future(writer.run(put(f"{n:02}"))) for n in range(30)]
        await asyncio.gather(*together)
        assert statements.count("COMMIT") == 1 + 3


async def test_one_failure_takes_nobody_with_it(tmp_path: Path) -> None:
    """Each piece of work stands or falls alone, with all that it wrote."""

    def fail(error: Exception) -> Callable[[sqlite3.Connection], None]:
        def work(db: sqlite3.Connection) -> None:
            put(f"of {type(error).__name__}")(db)
            raise error

        return work

    async with writing(tmp_path) as writer:
        async with held(writer):
            works = [put("one"), fail(SessionEnded("no")), put("two"), fail(ZeroDivisionError())]
            works += [put("one"), put("three")]
            together = [asyncio.ensure_future(writer.run(work)) for work in works]
        outcomes = await asyncio.gather(*together, return_exceptions=True)
        assert [type(o) for o in outcomes] == [
            str,
            SessionEnded,
            str,
            ZeroDivisionError,
            StoreUnavailable,
            str,
        ]
        assert await writer.run(names) == ["one", "three", "two"]


async def test_a_lost_transaction_is_lost_for_all(tmp_path: Path) -> None:
    """When SQLite gives a transaction up, nobody in it is told that he has written."""

    def lose(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    async with writing(tmp_path) as writer:
        async with held(writer):
            works = [put("one"), lose, put("two")]
            together = [asyncio.ensure_future(writer.run(work)) for work in works]
        outcomes = await asyncio.gather(*together, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
        assert await writer.run(names) == []
        assert await writer.run(put("three")) == "three"


async def test_who_queued_while_the_thread_waited_fails_with_it(tmp_path: Path) -> None:
    """A lock that is not had costs everybody one wait, not one after the other."""
    file = SQLiteFile(tmp_path / "sessions.sqlite")
    writer = SQLiteWriter(file)
    waiting, give_up = threading.Event(), threading.Event()
    waits = 0

    def wait_in_vain() -> None:
        nonlocal waits
        waits += 1
        waiting.set()
        assert give_up.wait(10)
        raise StoreUnavailable("locked", code="store_locked")

    assert await writer.run(put("one")) == "one"
    check_present, file.check_present = file.check_present, wait_in_vain
    first = asyncio.ensure_future(writer.run(put("two")))
    await asyncio.to_thread(waiting.wait, 10)
    late = [asyncio.ensure_future(writer.run(put(f"{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    give_up.set()
    outcomes = await asyncio.gather(first, *late, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 4
    assert waits == 1
    file.check_present = check_present
    assert await writer.run(names) == ["one"]
    await writer.close()


async def test_nobody_hears_before_the_commit(tmp_path: Path) -> None:
    """A commit that fails is told to everybody who was in it."""

    def refuse_commit(db: sqlite3.Connection) -> None:
        db.set_authorizer(
            lambda action, what, *_: (
                sqlite3.SQLITE_DENY
                if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT")
                else sqlite3.SQLITE_OK
            )
        )

    async with writing(tmp_path) as writer:
        async with held(writer):
            works = [put("one"), refuse_commit, put("two")]
            together = [asyncio.ensure_future(writer.run(work)) for work in works]
        outcomes = await asyncio.gather(*together, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
        await writer.run(lambda db: db.set_authorizer(None))
        assert await writer.run(names) == []


async def test_a_durable_commit_is_flushed(tmp_path: Path) -> None:
    """A revocation's commit is synchronous FULL, another's NORMAL, company's is the stricter."""

    def synchronous(db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA synchronous").fetchone()[0])

    async with writing(tmp_path) as writer:
        assert await writer.run(synchronous) == 1
        assert await writer.run(synchronous, durable=True) == 2
        assert await writer.run(synchronous) == 1
        async with held(writer):
            one = asyncio.ensure_future(writer.run(synchronous))
            two = asyncio.ensure_future(writer.run(synchronous, durable=True))
        assert await asyncio.gather(one, two) == [2, 2]


async def test_a_cancelled_caller_leaves_the_thread_well(tmp_path: Path) -> None:
    """The work of a caller that went away is done, and the next is served."""
    async with writing(tmp_path) as writer:
        async with held(writer):
            gone = asyncio.ensure_future(writer.run(put("gone")))
            failed = asyncio.ensure_future(writer.run(lambda db: 1 / 0))
            await asyncio.sleep(0)
            gone.cancel()
            failed.cancel()
        outcomes = await asyncio.gather(gone, failed, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
        assert await writer.run(names) == ["gone"]


async def test_close_finishes_what_is_queued(tmp_path: Path) -> None:
    """Work accepted before close is done; afterwards there is none, and no thread."""
    async with writing(tmp_path) as writer:
        async with held(writer):
            together = [asyncio.ensure_future(writer.run(put(f"{n}"))) for n in range(5)]
            await asyncio.sleep(0)
            thread = writer._thread
            closing = asyncio.ensure_future(writer.close())
            await asyncio.sleep(0)
        assert await asyncio.gather(*together) == list("01234")
        await closing
        assert not thread.is_alive()
        with pytest.raises(StoreUnavailable) as caught:
            await writer.run(names)
        assert caught.value.code == "store_closed"
    async with writing(tmp_path) as writer:
        assert await writer.run(names) == list("01234")


def test_a_loop_that_ended_harms_nobody(tmp_path: Path) -> None:
    """Work whose loop is closed is done, and a store serves one loop after another."""
    writer = SQLiteWriter(SQLiteFile(tmp_path / "sessions.sqlite"))
    release = threading.Event()

    async def leave() -> None:
        task = asyncio.ensure_future(writer.run(lambda db: release.wait(10)))
        await asyncio.sleep(0)
        task.cancel()

    async def come() -> list[str]:
        await asyncio.wait_for(writer.run(put("next")), 10)
        found = await writer.run(names)
        await writer.close()
        return found

    asyncio.run(leave())
    release.set()
    assert asyncio.run(come()) == ["next"]
