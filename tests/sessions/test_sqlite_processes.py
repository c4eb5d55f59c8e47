"""Several processes, and several store objects, on one SQLite file."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sessions.store_process import DEADLINE, store_processes

from clefstorm.errors import ConfigurationError, SessionConflict
from clefstorm.sealing import Sealer
from clefstorm.sessions import Revocation, SQLiteSessionStore, sqlite
from clefstorm.sessions.sqlite_file import SQLiteFile

ISSUER = "https://id.example.com"
SECRET = b"s" * 32
ROOT = Path(__file__).parents[2]


class Bell:
    """Hears what a store tells."""

    def __init__(self) -> None:
        self.heard: list[Revocation] = []
        self._rung = asyncio.Event()

    def __call__(self, revocation: Revocation) -> None:
        self.heard.append(revocation)
        self._rung.set()

    async def until(self, key: str) -> list[str]:
        """Wait for this key; return the keys that were heard."""

        async def wait() -> None:
            while key not in [revocation.key for revocation in self.heard]:
                self._rung.clear()
                await self._rung.wait()

        await asyncio.wait_for(wait(), DEADLINE)
        return [revocation.key for revocation in self.heard]


async def listen(store: SQLiteSessionStore, on_revoked: Callable[[Revocation], None]) -> None:
    """Start, and take the first look, which what is told begins with."""
    store.start(on_revoked)
    await store.peek("nothing")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite"


@pytest.fixture
def clock(clock):
    # Other processes have the real time.
    clock.now = time.time()
    return clock


# -- several store objects --------------------------------------------------------------------


async def test_others_revocations_are_told_once_and_own_ones_never(open_store, new) -> None:
    """Each of two stores hears what the other ended, in order, with its reason."""
    here, there = open_store(), open_store()
    heard_here, heard_there = Bell(), Bell()
    await listen(here, heard_here)
    await listen(there, heard_there)
    mine = [await here.create(new(sub="ada")) for _ in range(3)]
    theirs = [await there.create(new(sub="eve")) for _ in range(3)]
    for own, other in zip(mine, theirs, strict=True):
        await here.revoke(own.key, reason="logout")
        await there.revoke(other.key, reason="replaced")
    last_here, last_there = await here.create(new()), await there.create(new())
    await here.revoke(last_here.key, reason="revoked")
    await there.revoke(last_there.key, reason="revoked")
    assert await heard_there.until(last_here.key) == [s.key for s in (*mine, last_here)]
    assert await heard_here.until(last_there.key) == [s.key for s in (*theirs, last_there)]
    assert [r.reason for r in heard_there.heard] == ["logout"] * 3 + ["revoked"]


async def test_all_ways_to_end_are_told(open_store, new, clock) -> None:
    """By key, by sid, by sub; what ended nothing, or a session past its end, is not told."""
    here, there = open_store(), open_store()
    bell, until = Bell(), clock.now + 60
    await listen(here, bell)
    past = await there.create(new(expires=clock.now + 1))
    sessions = [await there.create(new(sid=f"sid {n}", sub=f"sub {n}")) for n in range(3)]
    clock.now += 1
    await there.revoke(past.key, reason="a")
    await there.revoke(sessions[0].key, reason="b")
    await there.revoke(sessions[0].key, reason="c")
    await there.revoke_sid(ISSUER, "sid 1", sub="nobody", reason="d", until=until)
    await there.revoke_sid(ISSUER, "sid 1", reason="e", until=until)
    await there.revoke_sub(ISSUER, "sub 2", issued=clock.now, reason="f", until=until)
    await bell.until(sessions[2].key)
    assert bell.heard == [
        Revocation(session.key, reason) for session, reason in zip(sessions, "bef", strict=True)
    ]


async def test_what_happened_before_is_not_told(open_store, new) -> None:
    """A process that starts later reads the store, and needs no word of the past."""
    there = open_store()
    before, after = await there.create(new()), await there.create(new())
    await there.revoke(before.key, reason="logout")
    here, bell = open_store(), Bell()
    # What it saw alive it is told of, even if it ends before start.
    assert await here.read(after.key)
    await there.revoke(after.key, reason="logout")
    await listen(here, bell)
    assert await bell.until(after.key) == [after.key]


async def test_many_revocations_are_told_in_pieces(
    open_store, new, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many sessions end at once, each is told, and the loop gets its turns."""
    monkeypatch.setattr(sqlite, "_READ_TOGETHER", 3)
    here, there = open_store(), open_store()
    bell = Bell()
    await listen(here, bell)
    sessions = await asyncio.gather(*(there.create(new()) for _ in range(10)))
    await there.revoke_sub(ISSUER, "ada", issued=0, reason="backchannel", until=9e9)
    last = await there.create(new(sub="eve"))
    await there.revoke(last.key, reason="logout")
    heard = await bell.until(last.key)
    assert sorted(heard) == sorted(s.key for s in (*sessions, last))


async def test_a_quiet_file_costs_one_look(open_store, monkeypatch) -> None:
    """While nothing changes a poll asks for the data version and reads no row."""
    store = open_store()
    looks, reads, enough = 0, 0, asyncio.Event()
    data_version, revocations = store._rows.data_version, store._rows.revocations

    def look(db):
        nonlocal looks
        looks += 1
        if looks == 5:
            enough.set()
        return data_version(db)

    def read(*args):
        nonlocal reads
        reads += 1
        return revocations(*args)

    monkeypatch.setattr(store._rows, "data_version", look)
    monkeypatch.setattr(store._rows, "revocations", read)
    await listen(store, Bell())
    await asyncio.wait_for(enough.wait(), DEADLINE)
    # The first look has nothing to compare with; opening the file may be one change more.
    assert reads <= 2


async def test_a_failing_listener_misses_nothing_else(open_store, new, caplog) -> None:
    """An exception of on_revoked is logged; the next revocation is told all the same."""
    here, there = open_store(), open_store()
    bell = Bell()

    def fail(revocation: Revocation) -> None:
        bell(revocation)
        raise ZeroDivisionError

    await listen(here, fail)
    one, two = await there.create(new()), await there.create(new())
    await there.revoke(one.key, reason="logout")
    await there.revoke(two.key, reason="logout")
    assert await bell.until(two.key) == [one.key, two.key]
    assert caplog.text.count("on_revoked failed") == 2


async def test_the_watcher_outlives_a_passing_error(open_store, new, path: Path, caplog) -> None:
    """While the file is away the watcher says so once; when it is back nothing was missed."""
    here, there = open_store(), open_store()
    bell, looks = Bell(), 0
    await listen(here, bell)
    session = await there.create(new())
    look, seen_twice = here._file.check_present, asyncio.Event()

    def counted() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            seen_twice.set()
        look()

    here._file.check_present = counted
    aside = path.with_name("aside")
    path.rename(aside)
    await asyncio.wait_for(seen_twice.wait(), DEADLINE)
    aside.rename(path)
    await there.revoke(session.key, reason="logout")
    assert await bell.until(session.key) == [session.key]
    assert caplog.text.count("can't be read") == 1


async def test_a_store_is_started_once(open_store) -> None:
    """Two listeners would each hear only some."""
    store = open_store()
    store.start(lambda revocation: None)
    with pytest.raises(ConfigurationError) as caught:
        store.start(lambda revocation: None)
    assert caught.value.code == "store_started"


async def test_two_stores_see_each_others_writes_at_once(open_store, new) -> None:
    """What one was answered the other reads, without waiting for a poll."""
    here, there = open_store(), open_store()
    session = await here.create(new())
    assert await there.read(session.key) == session
    saved = await there.save(replace(session, data={"by": "there"}))
    assert await here.read(session.key) == saved
    with pytest.raises(SessionConflict):
        await here.save(session)
    assert await there.revoke(session.key, reason="logout") == saved
    assert await here.read(session.key) is None


def test_all_may_make_the_file_at_once(tmp_path: Path) -> None:
    """However many open a new file together, one makes it and nobody is refused."""
    failures: list[Exception] = []

    def open_it(path: Path, start: threading.Barrier) -> None:
        start.wait(DEADLINE)
        try:
            SQLiteFile(path).open_writer().close()
        except Exception as error:
            failures.append(error)

    for count in range(10):
        start = threading.Barrier(6)
        path = tmp_path / f"sessions {count}.sqlite"
        threads = [threading.Thread(target=open_it, args=(path, start)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
    assert failures == []


# -- several processes ------------------------------------------------------------------------


async def test_put_once_has_one_winner_over_processes(path: Path, clock) -> None:
    """Four processes that begin together on a new file: each name has one winner."""
    names = [f"state {n}" for n in range(40)]
    async with store_processes(path, SECRET, 4) as processes:
        won = await asyncio.gather(
            *(process.call("put_all_once", names, clock.now + 60) for process in processes)
        )
        assert [sum(answers) for answers in zip(*won, strict=True)] == [1] * len(names)


async def test_a_revocation_is_told_to_other_processes_once(path: Path, open_store, new) -> None:
    """A revoke in one process reaches each other's on_revoked exactly once, its own never."""
    async with store_processes(path, SECRET, 2) as (one, two):
        here, bell = open_store(), Bell()
        await listen(here, bell)
        sessions = [await here.create(new()) for _ in range(5)]
        for session in sessions[:3]:
            assert await one.call("revoke", session.key, reason="backchannel") == session.key
            assert await here.read(session.key) is None
        assert await two.call("revoke", sessions[3].key, reason="logout") == sessions[3].key
        await here.revoke(sessions[4].key, reason="logout")
        keys = [session.key for session in sessions]
        assert await one.told_of(keys[4]) == keys[3:]
        assert await two.told_of(keys[4]) == [*keys[:3], keys[4]]
        assert await bell.until(keys[3]) == keys[:4]
        assert {r.reason for r in bell.heard[:3]} == {"backchannel"}


async def test_a_revoke_survives_a_killed_process(path: Path, open_store, new) -> None:
    """SIGKILL right after the answer: the session is dead for ever, the other one alive."""
    async with store_processes(path, SECRET, 1) as (process,):
        ended, kept = new(), new()
        for session in (ended, kept):
            assert await process.call("create", session) == session.key
        assert await process.call("revoke", ended.key, reason="logout") == ended.key
        await process.kill()
    store = open_store()
    assert await store.read(ended.key) is None
    assert await store.read(kept.key) == kept
    assert await store.list_sub(ISSUER, "ada") == [kept]


async def test_a_killed_process_blocks_nobody(path: Path, open_store, new, clock) -> None:
    """One process is killed amid writes; another that has the file open goes on."""
    here = open_store()
    session = await here.create(new())
    async with store_processes(path, SECRET, 1) as (process,):
        names = [f"name {n}" for n in range(5000)]
        writing = asyncio.ensure_future(process.call("put_all_once", names, clock.now + 60))
        await asyncio.wait_for(_first(here, names[0]), DEADLINE)
        await process.kill()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    assert await here.read(session.key) == session
    assert await here.revoke(session.key, reason="logout") == session


async def _first(store: SQLiteSessionStore, name: str) -> None:
    while await store.peek(name) is None:
        await asyncio.sleep(0)


# -- forks ------------------------------------------------------------------------------------

_FORK = """
import asyncio, os, sys
from clefstorm.errors import ClefStormError
from clefstorm.sealing import Sealer
from clefstorm.sessions import SQLiteSessionStore

store = SQLiteSessionStore(sys.argv[1], sealer=Sealer([b"s" * 32]))

async def code(attempt):
    try:
        await attempt
    except ClefStormError as error:
        return error.code

async def use(name):
    refused = await code(store.put_once(name, expires=9e9))
    if refused is None:
        return await store.peek(name)
    assert await code(store.read("x")) == refused
    assert await code(store.peek("x")) == refused
    try:
        store.start(print)
    except ClefStormError as error:
        assert error.code == refused
    await store.close()
    # It is the parent's, and not even to be closed here.
    assert store._reader is not None
    return refused

if sys.argv[2] == "used":
    print("before", repr(asyncio.run(use("before"))), flush=True)
child = os.fork()
if child == 0:
    said = asyncio.run(use("child"))
    print("child", said or repr(said), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", repr(asyncio.run(use("parent"))), flush=True)
asyncio.run(store.close())
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        pytest.param("unused", ["child ''", "parent ''"], id="made_before_used_after"),
        pytest.param("used", ["before ''", "child store_forked", "parent ''"], id="used_before"),
    ],
)
def test_a_fork(path: Path, how: str, said: list[str]) -> None:
    """A store made before a fork works on both sides; one used before refuses in the child."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORK, str(path), how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert done.stdout.splitlines() == said
    assert done.stderr == ""


async def test_a_child_uses_no_inherited_store(open_store, new, monkeypatch) -> None:
    """The same within one process, by its number: each call refuses, and closing leaves the
    parent's connections open."""
    store = open_store()
    session = await store.create(new())
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: -1)
        for attempt in (store.read(session.key), store.peek("x"), store.mark(), store.prune()):
            with pytest.raises(ConfigurationError) as caught:
                await attempt
            assert caught.value.code == "store_forked"
        with pytest.raises(ConfigurationError):
            store.start(lambda revocation: None)
        await store.close()
    assert await store.read(session.key) == session


def test_making_a_store_touches_nothing(path: Path) -> None:
    """Only its first use opens the file, so a store can be made where a module is imported."""
    SQLiteSessionStore(path, sealer=Sealer([SECRET]))
    assert list(path.parent.iterdir()) == []
