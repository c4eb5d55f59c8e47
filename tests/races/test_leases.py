"""The lease of a refresh, on each store, in given time: nothing here sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from clefstorm.errors import StoreUnavailable
from clefstorm.relying_party.leases import Lease
from clefstorm.sessions import SessionStore, SQLiteSessionStore
from clefstorm.testing import Clock

pytestmark = pytest.mark.gen_test(timeout=100_000)  # seconds of given time

NewLease = Callable[[], Lease]


@pytest.fixture
def io_loop(given_time_io_loop: IOLoop) -> IOLoop:
    return given_time_io_loop


@pytest.fixture(autouse=True)
def writes_take_no_given_time(
    store: SessionStore, io_loop: IOLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the thread of a SQLite store is at work the loop waits for it and does not jump."""
    if isinstance(store, SQLiteSessionStore):
        run, loop = store._writer.run, io_loop.asyncio_loop

        async def waited_for(*args: Any, **options: Any) -> Any:
            loop._threads += 1
            try:
                return await run(*args, **options)
            finally:
                loop._threads -= 1

        monkeypatch.setattr(store._writer, "run", waited_for)


@pytest.fixture
def new_lease(store: SessionStore, clock: Clock) -> NewLease:
    return lambda: Lease(store, "refresh:x", clock=clock)


async def test_one_holds_it(new_lease: NewLease) -> None:
    """Of many who try at once one has it, and when it is given back another may."""
    leases = [new_lease() for _ in range(10)]
    took = await asyncio.gather(*(lease.take() for lease in leases))
    assert took.count(True) == 1
    await leases[took.index(True)].give_back()
    free = new_lease()
    assert await free.take()
    await free.give_back()


async def test_it_is_renewed_while_its_holder_works(new_lease: NewLease) -> None:
    """However long the work takes, and whoever watches from its beginning: guarded by _renew."""
    holder, other = new_lease(), new_lease()
    assert await holder.take()
    for _ in range(20):
        assert not await other.take()
        await asyncio.sleep(Lease.LASTS / 2)
    await holder.give_back()
    assert await other.take()
    await other.give_back()


async def test_dead_holder_is_replaced(new_lease: NewLease, store: SessionStore) -> None:
    """Without a sign of life the lease ends LASTS after the last look that saw one, not before;
    and then it is one who gets it. Guarded by the time since ``_seen_at`` in take."""
    assert await store.put_once("refresh:x", value="dead", expires=9e9)
    waiting = [new_lease(), new_lease()]
    for lease in waiting:
        assert not await lease.take()
    await asyncio.sleep(Lease.LASTS - 1)
    for lease in waiting:
        assert not await lease.take()
    await asyncio.sleep(1)
    assert [await lease.take() for lease in waiting] == [True, False]
    await waiting[0].give_back()


async def test_one_that_died_long_ago_is_not_waited_for(new_lease: NewLease) -> None:
    """What a dead process has left is gone after LASTS and CLOCKS_APART: guarded by _expires."""
    dead = new_lease()
    assert await dead.take()
    assert dead._renewing is not None
    dead._renewing.cancel()
    await asyncio.sleep(Lease.LASTS + 60)
    assert await new_lease().take() is True


async def test_lost_lease_is_not_given_back(new_lease: NewLease, store: SessionStore) -> None:
    """Who lost it takes it from nobody: neither by renewing nor by giving back. Guarded by the
    value that ``extend`` compares."""
    lost, holder = new_lease(), new_lease()
    assert await lost.take()
    assert await store.take("refresh:x")
    assert await holder.take()
    await asyncio.sleep(2 * Lease.LASTS)
    await lost.give_back()
    assert not await new_lease().take()
    await holder.give_back()
    assert await store.peek("refresh:x") is None


async def test_store_that_fails_for_a_while(
    new_lease: NewLease, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal that fails is tried again; the holder hears nothing of it."""
    holder = new_lease()
    assert await holder.take()

    async def fails(*args: object, **options: object) -> bool:
        raise StoreUnavailable("no")

    with monkeypatch.context() as patch:
        patch.setattr(store, "extend", fails)
        await asyncio.sleep(Lease.LASTS / 2)
    other = new_lease()
    for _ in range(6):
        assert not await other.take()
        await asyncio.sleep(Lease.LASTS / 2)
    monkeypatch.setattr(store, "extend", fails)
    await holder.give_back()
