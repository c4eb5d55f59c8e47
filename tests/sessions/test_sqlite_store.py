"""The SQLite store's own promises: its file, what lies in it, what happens when it fails."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from clefstorm.errors import ConfigurationError, SessionEnded, StoreUnavailable
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.sealing import Sealer
from clefstorm.sessions import SQLiteSessionStore, new_session_id, session_key, sqlite_rows
from clefstorm.sessions.sqlite_file import SQLiteFile

ISSUER = "https://id.example.com"
OLD, NEW = b"o" * 32, b"n" * 32
TABLES = ["sessions", "tombstones", "names", "revocations"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite"


def rows(path: Path) -> dict[str, int]:
    """Count what lies in each table of the file."""
    with closing(sqlite3.connect(path)) as db:
        return {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}


# -- what is kept, and for how long -----------------------------------------------------------


async def test_sessions_survive_a_restart(open_store, new, clock) -> None:
    """What was answered is there when the file is opened again; so is what was ended."""
    store = open_store()
    kept, ended = await store.create(new()), await store.create(new())
    kept = await store.save(replace(kept, data={"theme": "light"}))
    await store.touch(kept.key, clock.now + 9)
    await store.revoke(ended.key, reason="logout")
    await store.revoke_sid(ISSUER, "phone", reason="logout", until=clock.now + 60)
    await store.put_once("state", value="used", expires=clock.now + 60)
    await store.close()
    again = open_store()
    assert await again.read(kept.key) == replace(kept, seen=clock.now + 9)
    assert await again.read(ended.key) is None
    assert await again.peek("state") == "used"
    with pytest.raises(SessionEnded):
        await again.create(new(sid="phone"))


async def test_nothing_is_left_in_the_end(open_store, new, clock, path: Path) -> None:
    """After every session ended, one way or another, and prune, all tables are empty."""
    store = open_store()
    sessions = [await store.create(new(sid=f"sid {n}", sub=f"sub {n % 7}")) for n in range(40)]
    await store.save(replace(sessions[0], sid="moved"))
    until = clock.now + 60
    for session in sessions[:10]:
        await store.revoke(session.key, reason="logout")
    for n in range(10, 20):
        await store.revoke_sid(ISSUER, f"sid {n}", sub=f"sub {n % 7}", reason="x", until=until)
        await store.revoke_sid(ISSUER, f"none {n}", reason="x", until=until)
    await store.revoke_sub(ISSUER, "sub 3", issued=clock.now, reason="x", until=until)
    for n in range(5):
        await store.put_once(f"name {n}", expires=until)
        await store.take(f"name {n}" if n else "absent")
    held = rows(path)
    assert all(held.values())
    clock.now += 600
    assert await store.prune() == held["sessions"] + held["tombstones"] + held["names"]
    assert rows(path) == {**dict.fromkeys(TABLES, 0), "revocations": held["revocations"]}
    clock.now += sqlite_rows.REVOCATIONS_KEPT - 600
    assert await store.prune() == 0
    assert rows(path) == dict.fromkeys(TABLES, 0)


async def test_prune_goes_in_small_steps(
    open_store, new, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is, no transaction drops more than a few rows, and others get in."""
    monkeypatch.setattr(sqlite_rows, "PRUNED_TOGETHER", 4)
    store = open_store()
    steps: list[int] = []
    prune = sqlite_rows.SQLiteRows.prune

    def counted(db: sqlite3.Connection, now: float) -> tuple[int, bool]:
        dropped, more = prune(db, now)
        steps.append(dropped)
        return dropped, more

    monkeypatch.setattr(sqlite_rows.SQLiteRows, "prune", staticmethod(counted))
    for _ in range(10):
        await store.create(new())
    clock.now += 600
    assert await store.prune() == 10
    assert steps == [4, 4, 2]


async def test_what_must_survive_a_loss_of_power_is_flushed(open_store, new, clock) -> None:
    """Revocations and saves are committed with synchronous FULL, the rest with NORMAL."""
    store, until = open_store(), clock.now + 60
    session = await store.create(new())
    statements: list[str] = []
    await store._writer.run(lambda db: db.set_trace_callback(statements.append))

    async def flushed(attempt: Awaitable[object]) -> bool:
        await store.touch(session.key, clock.now)
        statements.clear()
        await attempt
        return "PRAGMA synchronous = FULL" in statements

    assert await flushed(store.save(session))
    assert await flushed(store.revoke(session.key, reason="x"))
    assert await flushed(store.revoke_sid(ISSUER, "phone", reason="x", until=until))
    assert await flushed(store.revoke_sub(ISSUER, "eve", issued=0, reason="x", until=until))
    assert not await flushed(store.create(new()))
    assert not await flushed(store.touch(session.key, clock.now))
    assert not await flushed(store.put_once("x", expires=until))
    assert not await flushed(store.take("x"))
    assert not await flushed(store.prune())


# -- what lies in the file --------------------------------------------------------------------


async def test_the_file_is_its_owners_alone(open_store, new, path: Path) -> None:
    """Database, log and index have mode 0600, whatever the process's default is."""
    before = os.umask(0)
    try:
        await open_store().create(new())
    finally:
        os.umask(before)
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == [path.name + s for s in ("", "-shm", "-wal")]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_file_that_others_could_read_is_made_private(open_store, new, path) -> None:
    """An older, laxer mode is mended when the file is opened."""
    store = open_store()
    await store.create(new())
    await store.close()
    path.chmod(0o664)
    await open_store().read("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_file_at_rest_names_nobody(open_store, clock, path: Path, new) -> None:
    """Who is signed in, from where and with what can't be read from the file."""
    session_id = new_session_id()
    secret = [ISSUER, "ada@example.com", "laptop-sid", "the-access-token", "the-refresh-token"]
    secret += ["the-id-token", "Ada Lovelace", "dark-theme", "the-value", "the-name", session_id]
    session = new(
        key=session_key(session_id),
        sub="ada@example.com",
        sid="laptop-sid",
        tokens=Tokens(access_token=secret[3], refresh_token=secret[4], id_token=secret[5]),
        data={"theme": "dark-theme"},
    )
    store = open_store()
    await store.create(session)
    await store.put_once("the-name", value="the-value", expires=clock.now + 60)
    await store.revoke_sid(ISSUER, "laptop-sid", sub="eve", reason="x", until=clock.now + 60)
    await store.revoke_sub(ISSUER, "eve", issued=clock.now, reason="x", until=clock.now + 60)
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert session.key.encode() in content
    for word in secret:
        assert word.encode() not in content
    # Nor is the index a plain hash, which could be guessed by trying names.
    with closing(sqlite3.connect(path)) as db:
        known = db.execute("SELECT subject, sid FROM sessions").fetchone()
    other = open_store(NEW, path=path.with_name("other.sqlite"))
    await other.create(session)
    with closing(sqlite3.connect(path.with_name("other.sqlite"))) as db:
        elsewhere = db.execute("SELECT subject, sid FROM sessions").fetchone()
    assert not {*known} & {*elsewhere}


async def test_rows_can_not_be_swapped(open_store, new, path: Path, caplog) -> None:
    """A record belongs to its key: whoever writes into the file can't become somebody else."""
    store = open_store()
    ada, eve = await store.create(new()), await store.create(new(sub="eve"))
    assert await store.read(eve.key) == eve
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "UPDATE sessions SET record = (SELECT record FROM sessions WHERE key = ?)"
            " WHERE key = ?",
            (ada.key, eve.key),
        )
        db.commit()
    assert await store.read(eve.key) is None
    assert "seal_altered" in caplog.text
    assert await store.list_sub(ISSUER, "eve") == []
    assert await store.read(ada.key) == ada
    assert await store.revoke(eve.key, reason="x") is None
    assert rows(path)["sessions"] == 1


async def test_the_clear_columns_prolong_nothing(open_store, new, path, clock) -> None:
    """When a session ends is judged by its sealed record, not by what lies in the clear."""
    store = open_store()
    session = await store.create(new())
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE sessions SET expires = 9e9, ends = 9e9, seen = 9e9, idle = NULL")
        db.commit()
    clock.now += 3599
    assert await store.read(session.key)
    clock.now += 1
    assert await store.read(session.key) is None
    assert await store.list_sub(ISSUER, "ada") == []


async def test_names_can_not_be_swapped(open_store, path, clock) -> None:
    """A value belongs to its name."""
    store = open_store()
    for name in ("one", "two"):
        await store.put_once(name, value=name, expires=clock.now + 60)
    assert await store.peek("one") == "one"
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE names SET value = (SELECT max(value) FROM names)")
        db.commit()
    assert {await store.peek("one"), await store.peek("two")} in ({"one", None}, {"two", None})
    assert not await store.put_once("one", expires=clock.now + 60)
    assert not await store.put_once("two", expires=clock.now + 60)


# -- rotated secrets --------------------------------------------------------------------------


async def test_every_read_works_while_secrets_rotate(open_store, new, clock) -> None:
    """Sessions, indexes, tombstones and names of an older secret are found under a new one."""
    until = clock.now + 60
    store = open_store(OLD)
    sessions = [await store.create(new(sid=f"sid {n}")) for n in range(3)]
    await store.revoke_sid(ISSUER, "gone", reason="x", until=until)
    await store.revoke_sub(ISSUER, "eve", issued=clock.now + 1, reason="x", until=until)
    await store.put_once("lease", value="me", expires=until)
    await store.close()

    rotated = open_store(NEW, OLD)
    assert await rotated.read(sessions[0].key) == sessions[0]
    assert len(await rotated.list_sub(ISSUER, "ada")) == 3
    for refused in (new(sid="gone"), new(sub="eve")):
        with pytest.raises(SessionEnded):
            await rotated.create(refused)
    assert not await rotated.put_once("lease", expires=until)
    assert await rotated.extend("lease", value="me", expires=until + 1)
    assert await rotated.revoke_sid(ISSUER, "sid 0", sub="ada", reason="x", until=until)
    fresh = await rotated.create(new(sid="fresh"))
    saved = await rotated.save(sessions[1])
    assert {s.key for s in await rotated.list_sub(ISSUER, "ada")} == {
        sessions[1].key,
        sessions[2].key,
        fresh.key,
    }
    ended = await rotated.revoke_sub(ISSUER, "ada", issued=clock.now, reason="x", until=until)
    assert {s.key for s in ended} == {saved.key, sessions[2].key, fresh.key}


async def test_a_save_seals_again(open_store, new, clock) -> None:
    """Once saved under the new secret a session outlives the old one; others end with it."""
    store = open_store(OLD)
    saved, left = await store.create(new()), await store.create(new())
    await store.put_once("state", expires=clock.now + 60)
    await store.close()
    rotated = open_store(NEW, OLD)
    saved = await rotated.save(saved)
    await rotated.close()
    retired = open_store(NEW)
    assert await retired.read(saved.key) == saved
    assert await retired.list_sub(ISSUER, "ada") == [saved]
    assert await retired.read(left.key) is None
    # A used state stays used.
    assert not await retired.put_once("state", expires=clock.now + 60)
    clock.now += 600
    await retired.prune()
    assert await retired.prune() == 0


# -- opening and closing ----------------------------------------------------------------------


async def test_the_file_is_opened_once(open_store, monkeypatch) -> None:
    """However many calls come first together, they share one connection that reads."""
    store = open_store()
    opened: list[sqlite3.Connection] = []
    open_reader = store._file.open_reader

    def counted() -> sqlite3.Connection:
        opened.append(open_reader())
        return opened[-1]

    monkeypatch.setattr(store._file, "open_reader", counted)
    await asyncio.gather(*(store.read("x") for _ in range(5)), store.put_once("x", expires=9e9))
    assert len(opened) == 1


async def test_a_store_closed_while_it_opens_leaves_nothing_open(open_store, monkeypatch) -> None:
    """Whoever waited is told, and no connection is forgotten, however far opening had come."""
    store = open_store()
    opened: list[sqlite3.Connection] = []
    opening, go_on = threading.Event(), threading.Event()
    open_reader = store._file.open_reader

    def slow() -> sqlite3.Connection:
        opening.set()
        assert go_on.wait(10)
        opened.append(open_reader())
        return opened[-1]

    monkeypatch.setattr(store._file, "open_reader", slow)
    readers = [asyncio.ensure_future(store.read("x")) for _ in range(3)]
    await asyncio.to_thread(opening.wait, 10)
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    assert all(o is None or o.code == "store_closed" for o in outcomes)
    assert len(opened) == 1
    with pytest.raises(sqlite3.ProgrammingError):
        opened[0].execute("SELECT 1")


# -- files that are not ours ------------------------------------------------------------------


async def refused(store: SQLiteSessionStore, error: type[Exception], code: str) -> None:
    for attempt in (store.read("x"), store.put_once("x", expires=9e9), store.peek("x")):
        with pytest.raises(error) as caught:
            await attempt
        assert caught.value.code == code


async def test_an_empty_file_becomes_ours(open_store, new, path: Path) -> None:
    """A file without content, as an interrupted start leaves it, is used."""
    path.touch()
    session = await open_store().create(new())
    assert rows(path)["sessions"] == 1
    assert await open_store().read(session.key)


async def test_a_foreign_database_is_refused_untouched(open_store, path: Path) -> None:
    """A database of something else is neither used nor changed."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE sessions (id)")
    before = path.read_bytes()
    await refused(open_store(), ConfigurationError, "store_foreign")
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_untouched(open_store, path: Path) -> None:
    """A file that only lies at our path is neither used nor changed."""
    path.write_text("not a database " * 100)
    await refused(open_store(), ConfigurationError, "store_foreign")
    assert path.read_text() == "not a database " * 100


async def test_a_file_of_a_newer_version_is_refused(open_store, new, path: Path) -> None:
    """What a newer clefstorm wrote is not guessed at."""
    store = open_store()
    await store.create(new())
    await store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")
    await refused(open_store(), ConfigurationError, "store_newer")


async def test_a_path_that_can_not_be_used_is_said(open_store, tmp_path: Path) -> None:
    """A missing folder is said, and is not made."""
    missing = tmp_path / "missing" / "sessions.sqlite"
    await refused(open_store(path=missing), ConfigurationError, "store_path_unusable")
    assert not missing.parent.exists()
    await refused(open_store(path=tmp_path), StoreUnavailable, "store_unopenable")


async def test_a_first_call_that_failed_can_be_repeated(open_store, new, tmp_path) -> None:
    """Once the folder is there, the same store object works."""
    store = open_store(path=tmp_path / "late" / "sessions.sqlite")
    await refused(store, ConfigurationError, "store_path_unusable")
    (tmp_path / "late").mkdir()
    assert await store.create(new())


async def test_a_path_is_not_a_uri(open_store, new, tmp_path: Path) -> None:
    """Characters that mean something in a URI are only characters."""
    odd = tmp_path / "a?mode=ro#b%41 c.sqlite"
    await open_store(path=odd).create(new())
    assert odd.exists()


async def test_an_old_sqlite_is_said(open_store, monkeypatch: pytest.MonkeyPatch) -> None:
    """STRICT tables need SQLite 3.37."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    await refused(open_store(), ConfigurationError, "store_sqlite_too_old")


# -- failures ---------------------------------------------------------------------------------


async def test_a_locked_file_is_unavailable(
    open_store, new, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for another's lock waits a bounded time, all who queue together once."""
    monkeypatch.setattr("clefstorm.sessions.sqlite_file.LOCK_WAIT", 0.05)
    store = open_store()
    session = await store.create(new())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            store.create(new()),
            store.revoke(session.key, reason="x"),
            store.put_once("x", expires=9e9),
            return_exceptions=True,
        )
        for outcome in outcomes:
            assert isinstance(outcome, StoreUnavailable)
            assert outcome.code == "store_locked"
            assert outcome.evidence["sqlite"] == "SQLITE_BUSY"
        # Reading goes on.
        assert await store.read(session.key) == session
        other.execute("ROLLBACK")
    assert rows(path) == {"sessions": 1, "tombstones": 0, "names": 0, "revocations": 0}
    assert await store.revoke(session.key, reason="x") == session


async def test_a_locked_file_can_not_be_opened(
    open_store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that another process holds for itself is unavailable, not waited for."""
    monkeypatch.setattr("clefstorm.sessions.sqlite_file.LOCK_WAIT", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        store = open_store()
        await refused(store, StoreUnavailable, "store_locked")
        other.execute("ROLLBACK")
    assert await store.put_once("x", expires=9e9)


async def test_a_full_disk_is_unavailable(open_store, new, path: Path) -> None:
    """When there is no room nothing is half done, sessions are still read, and it passes."""
    store = open_store()
    session = await store.create(new())

    def limit(pages: int):
        return lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    await store._writer.run(limit(20))
    with pytest.raises(StoreUnavailable) as caught:
        await store.create(new(data={"much": "x" * 200_000}))
    assert caught.value.code == "store_full"
    assert await store.read(session.key) == session
    assert rows(path)["sessions"] == 1
    await store._writer.run(limit(10_000))
    assert await store.create(new(data={"much": "x" * 200_000}))


async def test_a_malformed_file_is_unavailable(open_store, new, path: Path) -> None:
    """Damage is neither a crash nor a sqlite3 error."""
    store = open_store()
    session = await store.create(new())
    await store.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    damaged = open_store()
    for attempt in (
        damaged.read(session.key),
        damaged.create(new()),
        damaged.revoke(session.key, reason="x"),
        damaged.peek("x"),
        damaged.prune(),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            await attempt
        assert caught.value.code == "store_malformed"


async def test_a_removed_file_is_unavailable(open_store, new, path: Path) -> None:
    """The first write sees that the file is gone; none is made in its place, none is read."""
    store = open_store()
    session = await store.create(new())
    aside = path.with_name("aside")
    path.rename(aside)
    for attempt in (
        store.revoke(session.key, reason="x"),
        store.read(session.key),
        store.peek("x"),
        store.create(new()),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            await attempt
        assert caught.value.code == "store_gone"
    assert not path.exists()
    # Another file at the path is not ours; the same file put back is.
    path.touch()
    with pytest.raises(StoreUnavailable):
        await store.read(session.key)
    aside.rename(path)
    assert await store.read(session.key) == session
    assert await store.revoke(session.key, reason="x") == session


async def test_a_store_that_only_reads_notices_too(open_store, new, path: Path) -> None:
    """Once started, a store sees within a poll interval that its file is gone."""
    store = open_store()
    store.start(lambda revocation: None)
    session = await store.create(new())
    assert await store.read(session.key) == session
    path.unlink()

    async def notice() -> str:
        while True:
            try:
                await store.read(session.key)
            except StoreUnavailable as error:
                return error.code
            await asyncio.sleep(0.005)

    assert await asyncio.wait_for(notice(), 10) == "store_gone"


async def test_errors_of_every_kind_become_ours(open_store, new, monkeypatch) -> None:
    """Even what SQLite has no code for is StoreUnavailable."""
    store = open_store()
    await store.create(new())
    store._reader.close()
    for attempt in (store.read("x"), store.peek("x"), store.mark()):
        with pytest.raises(StoreUnavailable) as caught:
            await attempt
        assert caught.value.code == "store_error"


async def test_a_connection_that_reads_can_not_be_had(open_store, monkeypatch) -> None:
    """When the file is there for the one connection and not for the other, that is said, too."""
    store = open_store()
    connect, refuse = store._file._connect, True

    def connects(wait: float) -> sqlite3.Connection:
        if refuse and wait < 1:
            raise sqlite3.OperationalError("no more files may be open")
        return connect(wait)

    monkeypatch.setattr(store._file, "_connect", connects)
    with pytest.raises(StoreUnavailable) as caught:
        await store.read("x")
    assert caught.value.code == "store_error"
    refuse = False
    assert await store.read("x") is None


async def test_a_file_that_goes_while_it_is_opened(open_store, path: Path, monkeypatch) -> None:
    """Removed between the two connections, it is gone, and the second is not left open."""
    store = open_store()
    connect = store._file._connect
    opened: list[sqlite3.Connection] = []

    def connects(wait: float) -> sqlite3.Connection:
        opened.append(connect(wait))
        if len(opened) == 2:
            path.unlink()
        return opened[-1]

    monkeypatch.setattr(store._file, "_connect", connects)
    with pytest.raises(StoreUnavailable) as caught:
        await store.read("x")
    assert caught.value.code == "store_gone"
    with pytest.raises(sqlite3.ProgrammingError):
        opened[1].execute("SELECT 1")


async def test_a_file_that_goes_before_it_is_made_private(open_store, monkeypatch) -> None:
    """Found, and then not there: the path can't be used, and nothing is made in its place."""
    store = open_store()
    made = os.open

    def found(file: str | Path, flags: int, *mode: int) -> int:
        if Path(file) == store._file.path:
            raise FileExistsError
        return made(file, flags, *mode)

    monkeypatch.setattr(os, "open", found)
    with pytest.raises(ConfigurationError) as caught:
        await store.read("x")
    assert caught.value.code == "store_path_unusable"
    assert not store._file.path.exists()


async def test_a_store_closed_before_it_has_opened(open_store, monkeypatch) -> None:
    """Whoever asked first, and is answered only after the close, is told of the close."""
    store = open_store()
    run, closed = store._writer.run, asyncio.Event()

    async def late(*args: object, **options: object) -> object:
        await closed.wait()
        return None

    monkeypatch.setattr(store._writer, "run", late)
    reading = asyncio.ensure_future(store.read("x"))
    await asyncio.sleep(0)
    monkeypatch.setattr(store._writer, "run", run)
    await store.close()
    closed.set()
    with pytest.raises(StoreUnavailable) as caught:
        await reading
    assert caught.value.code == "store_closed"


def intercept(monkeypatch: pytest.MonkeyPatch, answer: Callable[..., sqlite3.Cursor]) -> None:
    """Let ``answer(connection, execute, sql)`` stand in for the store's own execute."""

    class Intercepted(sqlite3.Connection):
        def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
            return answer(self, lambda sql: super(Intercepted, self).execute(sql, *args), sql)

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Intercepted)
    )


async def test_a_disk_without_wal_is_refused(open_store, monkeypatch) -> None:
    """Where SQLite can't share memory, processes could not share the file."""
    intercept(monkeypatch, lambda db, execute, sql: execute(sql.replace(" = WAL", "")))
    await refused(open_store(), ConfigurationError, "store_no_wal")


async def test_a_change_to_wal_is_tried_again(open_store, monkeypatch) -> None:
    """SQLite does not wait where two processes change to WAL at once, so we do."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    failures = [busy, busy]

    def answer(db, execute, sql):
        if "journal_mode" in sql and failures:
            raise failures.pop()
        return execute(sql)

    intercept(monkeypatch, answer)
    assert await open_store().put_once("x", expires=9e9)
    assert not failures


async def test_a_file_is_judged_in_one_state(open_store, path: Path, monkeypatch) -> None:
    """One that becomes ours while we look at it is not taken for a foreign one."""
    monkeypatch.setattr("clefstorm.sessions.sqlite_file.LOCK_WAIT", 0.05)
    others = [SQLiteFile(path)]

    def answer(db, execute, sql):
        if sql == "PRAGMA user_version" and others:
            with suppress(StoreUnavailable):
                others.pop().open_writer().close()
        return execute(sql)

    intercept(monkeypatch, answer)
    assert await open_store().put_once("x", expires=9e9)
    assert not others


async def test_a_read_holds_nothing_back(open_store, new, path: Path) -> None:
    """A look-up leaves no transaction open, so the log can be emptied."""
    store = open_store()
    session = await store.create(new())
    assert await store.read(session.key)
    assert not store._reader.in_transaction
    with closing(sqlite3.connect(path)) as other:
        busy, _, _ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


def test_repr_shows_the_path_only(path: Path) -> None:
    """A store in a log gives nothing away."""
    store = SQLiteSessionStore(path, sealer=Sealer([b"hunter2" * 8]))
    assert repr(store) == f"SQLiteSessionStore({str(path)!r})"
    assert not path.exists()
