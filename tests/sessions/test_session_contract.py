"""The contract of clefstorm.sessions.store, on every store."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace

import pytest

from clefstorm.errors import ConfigurationError, SessionConflict, SessionEnded, StoreUnavailable
from clefstorm.sessions import SessionStore, new_session_id, session_key

ISSUER = "https://id.example.com"


async def test_a_session_is_read_as_it_was_created(store: SessionStore, new) -> None:
    """create keeps everything, read gives it back, and an unknown key is nobody."""
    session = new()
    assert await store.create(session) == session
    assert await store.read(session.key) == session
    assert await store.read(session_key(new_session_id())) is None
    bare = new(sid=None, tokens=None, idle=None, claims={}, data={})
    await store.create(bare)
    assert await store.read(bare.key) == bare


async def test_a_key_is_used_once(store: SessionStore, new) -> None:
    """create never replaces a session, not even one that is past its end."""
    session = await store.create(new())
    with pytest.raises(SessionConflict) as caught:
        await store.create(replace(session, sub="eve"))
    assert caught.value.code == "session_exists"
    assert await store.read(session.key) == session


async def test_a_session_past_its_end_is_not_created(store: SessionStore, new, clock) -> None:
    """What would be dead at once is refused."""
    await store.create(new(expires=clock.now + 0.001))
    for dead in (new(expires=clock.now), new(seen=clock.now - 600)):
        with pytest.raises(SessionEnded) as caught:
            await store.create(dead)
        assert caught.value.code == "session_expired"


async def test_what_a_caller_does_to_a_session_stays_with_the_caller(
    store: SessionStore, new
) -> None:
    """The store keeps what it was given, and hands out copies."""
    session = new(data={"cart": ["tea"]})
    original = copy.deepcopy(session)
    await store.create(session)
    session.data["cart"].append("sugar")
    first = await store.read(session.key)
    assert first == original
    first.data["cart"].append("milk")
    first.claims["groups"].append("admin")
    assert await store.read(session.key) == original


async def test_data_that_is_not_json_is_refused(store: SessionStore, new) -> None:
    """Claims and data are JSON; what is not changes nothing."""
    session = await store.create(new())
    for data in ({"when": object()}, {"x": float("nan")}, {("a", "b"): 1}):
        for attempt in (
            store.create(new(data=data)),
            store.save(replace(session, data=data)),
        ):
            with pytest.raises(ConfigurationError) as caught:
                await attempt
            assert caught.value.code == "session_not_json"
    assert await store.read(session.key) == session
    assert len(await store.list_sub(ISSUER, "ada")) == 1


async def test_save_counts_the_version_up(store: SessionStore, new) -> None:
    """A save replaces everything but who it is, and says what it is now."""
    session = await store.create(new())
    saved = await store.save(replace(session, data={"theme": "light"}, sid="phone"))
    assert saved == replace(session, data={"theme": "light"}, sid="phone", version=1)
    assert await store.read(session.key) == saved
    again = await store.save(replace(saved, tokens=None, expires=session.expires + 60, idle=None))
    assert again.version == 2
    assert await store.read(session.key) == again


async def test_one_of_two_saves_conflicts(store: SessionStore, new) -> None:
    """Compare and set: of two who read the same version one saves, the other is told."""
    session = await store.create(new())
    outcomes = await asyncio.gather(
        store.save(replace(session, data={"by": "one"})),
        store.save(replace(session, data={"by": "two"})),
        return_exceptions=True,
    )
    (saved,) = [o for o in outcomes if not isinstance(o, Exception)]
    (error,) = [o for o in outcomes if isinstance(o, Exception)]
    assert isinstance(error, SessionConflict)
    assert error.code == "session_conflict"
    assert await store.read(session.key) == saved
    # Reading again is all it takes.
    assert (await store.save(replace(saved, data={"by": "two"}))).version == 2


async def test_a_save_keeps_the_subject(store: SessionStore, new) -> None:
    """No save gives a session to somebody else."""
    session = await store.create(new())
    for changed in (replace(session, sub="eve"), replace(session, iss="https://evil.example")):
        with pytest.raises(ConfigurationError) as caught:
            await store.save(changed)
        assert caught.value.code == "session_subject_changed"
    assert await store.read(session.key) == session


async def test_a_save_after_a_revoke_brings_nothing_back(store: SessionStore, new) -> None:
    """A refresh that ends after the logout can't write the dead session back."""
    session = await store.create(new())
    session = await store.save(session)
    assert await store.revoke(session.key, reason="logout")
    with pytest.raises(SessionEnded) as caught:
        await store.save(session)
    assert caught.value.code == "session_ended"
    assert await store.read(session.key) is None
    assert await store.list_sub(ISSUER, "ada") == []
    assert await store.revoke_sid(ISSUER, "laptop", reason="logout", until=session.expires) == []


async def test_a_save_after_the_end_is_refused(store: SessionStore, new, clock) -> None:
    """A session that is past its end can't be prolonged."""
    session = await store.create(new(expires=clock.now + 10))
    session = await store.save(session)
    clock.now += 10
    with pytest.raises(SessionEnded):
        await store.save(replace(session, expires=clock.now + 100))
    assert await store.read(session.key) is None


async def test_a_save_with_a_revoked_sid_is_refused(store: SessionStore, new, clock) -> None:
    """A save can't slip under a sid whose logout has come already."""
    session = await store.create(new())
    await store.revoke_sid(ISSUER, "phone", reason="backchannel", until=clock.now + 60)
    with pytest.raises(SessionEnded) as caught:
        await store.save(replace(session, sid="phone"))
    assert caught.value.code == "session_tombstoned"
    assert (await store.read(session.key)) == session
    assert (await store.save(session)).version == 1


async def test_a_saved_sid_is_the_one_that_ends_it(store: SessionStore, new, clock) -> None:
    """After a save the new sid is known, the old one is not."""
    session = await store.create(new())
    saved = await store.save(replace(session, sid="phone"))
    assert not await store.revoke_sid(ISSUER, "laptop", reason="x", until=clock.now + 60)
    assert await store.revoke_sid(ISSUER, "phone", reason="x", until=clock.now + 60) == [saved]


async def test_a_save_does_not_turn_seen_back(store: SessionStore, new, clock) -> None:
    """Activity that was noted between read and save stays."""
    session = await store.create(new())
    await store.touch(session.key, clock.now + 5)
    saved = await store.save(session)
    assert saved.seen == clock.now + 5
    assert await store.read(session.key) == saved
    later = await store.save(replace(saved, seen=clock.now + 7))
    assert (await store.read(session.key)).seen == later.seen == clock.now + 7


async def test_touch_never_moves_backwards(store: SessionStore, new, clock) -> None:
    """Of several activities the latest counts, in whatever order they are noted."""
    session = await store.create(new())
    await store.touch(session.key, clock.now + 20)
    await store.touch(session.key, clock.now + 10)
    found = await store.read(session.key)
    assert found == replace(session, seen=clock.now + 20)
    assert found.version == session.version


async def test_a_session_without_idle_end_is_touched_too(store: SessionStore, new, clock) -> None:
    """Activity is noted, and its one end stays."""
    session = await store.create(new(idle=None))
    await store.touch(session.key, clock.now + 1)
    assert await store.read(session.key) == replace(session, seen=clock.now + 1)
    clock.now = session.expires - 1
    assert await store.prune() == 0
    clock.now += 1
    assert await store.prune() == 1


async def test_a_touched_session_is_pruned_at_its_new_end(store: SessionStore, new, clock) -> None:
    """Activity moves the idle end, and no further."""
    session = await store.create(new())
    clock.now += 500
    await store.touch(session.key, clock.now)
    clock.now += 599
    assert await store.prune() == 0
    assert await store.read(session.key)
    clock.now += 1
    assert await store.prune() == 1


async def test_touch_does_nothing_for_the_dead(store: SessionStore, new, clock) -> None:
    """Activity brings neither a revoked session nor one past its end back."""
    revoked, idle = await store.create(new()), await store.create(new())
    await store.revoke(revoked.key, reason="logout")
    clock.now += 600
    for session in (revoked, idle):
        await store.touch(session.key, clock.now)
        assert await store.read(session.key) is None
    await store.touch(session_key(new_session_id()), clock.now)


async def test_the_idle_end_is_seen_plus_idle(store: SessionStore, new, clock) -> None:
    """Alive until just before seen + idle, dead at it, and moved on by activity."""
    session = await store.create(new())
    clock.now += 599.5
    assert await store.read(session.key)
    await store.touch(session.key, clock.now)
    clock.now += 599.5
    assert await store.read(session.key)
    assert len(await store.list_sub(ISSUER, "ada")) == 1
    clock.now += 0.5
    assert await store.read(session.key) is None
    assert await store.list_sub(ISSUER, "ada") == []


async def test_the_absolute_end_is_not_moved(store: SessionStore, new, clock) -> None:
    """However active, a session is dead at ``expires``; without idle, only then."""
    active = await store.create(new(expires=clock.now + 700))
    still = await store.create(new(idle=None, expires=clock.now + 700))
    clock.now += 500
    await store.touch(active.key, clock.now)
    clock.now += 199.5
    assert await store.read(active.key)
    assert await store.read(still.key) == still
    clock.now += 0.5
    assert await store.read(active.key) is None
    assert await store.read(still.key) is None


async def test_revoke_ends_one_session_once(store: SessionStore, new) -> None:
    """The session is dead at once, the caller is told which it was, a second time ends nothing."""
    session, other = await store.create(new()), await store.create(new())
    assert await store.revoke(session.key, reason="logout") == session
    assert await store.read(session.key) is None
    assert await store.revoke(session.key, reason="logout") is None
    assert await store.read(other.key) == other
    assert await store.list_sub(ISSUER, "ada") == [other]


async def test_of_two_revokes_one_ends_it(store: SessionStore, new) -> None:
    """However many end a session at once, one of them did, so the bell rings once."""
    session = await store.create(new())
    ended = await asyncio.gather(*(store.revoke(session.key, reason="logout") for _ in range(9)))
    assert [e for e in ended if e is not None] == [session]


async def test_revoke_of_one_past_its_end_ends_nothing(store: SessionStore, new, clock) -> None:
    """What has ended by itself is not ended again, by whatever name it is called."""
    session = await store.create(new())
    until = clock.now + 9999
    clock.now += 600
    assert await store.revoke(session.key, reason="logout") is None
    await store.create(replace(new(), key=session_key(new_session_id())))
    clock.now += 600
    assert await store.revoke_sid(ISSUER, "laptop", reason="x", until=until) == []
    assert await store.revoke_sub(ISSUER, "ada", issued=clock.now, reason="x", until=until) == []


@pytest.mark.parametrize(
    "reason",
    ["", "Logout", "log out", "x" * 41, "évincé", "a\n", "a1"],
    ids=["empty", "capital", "space", "long", "accent", "line_break", "digit"],
)
async def test_a_reason_is_a_word(store: SessionStore, new, clock, reason: str) -> None:
    """A reason goes to logs and metrics: up to 40 characters of a-z and _."""
    session = await store.create(new())
    until = clock.now + 60
    for attempt in (
        store.revoke(session.key, reason=reason),
        store.revoke_sid(ISSUER, "laptop", reason=reason, until=until),
        store.revoke_sub(ISSUER, "ada", issued=clock.now, reason=reason, until=until),
    ):
        with pytest.raises(ConfigurationError) as caught:
            await attempt
        assert caught.value.code == "reason_invalid"
    assert await store.revoke(session.key, reason="a_word") == session


async def test_revoke_sid_ends_the_provider_session(store: SessionStore, new, clock) -> None:
    """All of ours that belong to (iss, sid) end, newest first, and no others."""
    old = await store.create(new())
    newer = await store.create(new(created=clock.now + 1))
    others = [
        await store.create(new(sid="phone")),
        await store.create(new(sid=None)),
        await store.create(new(iss="https://other.example.com")),
    ]
    ended = await store.revoke_sid(ISSUER, "laptop", reason="backchannel", until=clock.now + 60)
    assert ended == [newer, old]
    for session in ended:
        assert await store.read(session.key) is None
    for session in others:
        assert await store.read(session.key) == session


async def test_revoke_sid_with_a_sub_ends_those_of_the_sub(store: SessionStore, new, clock) -> None:
    """Back-Channel Logout 2.6: where sub is given as well, it has to be the session's."""
    ada = await store.create(new())
    eve = await store.create(new(sub="eve"))
    ended = await store.revoke_sid(ISSUER, "laptop", sub="ada", reason="x", until=clock.now + 60)
    assert ended == [ada]
    assert await store.read(eve.key) == eve


async def test_revoke_sid_with_a_sub_that_does_not_match_hurts_nobody(
    store: SessionStore, new, clock
) -> None:
    """A logout of (sid, eve) ends nothing of ada's, neither now nor later."""
    ada = await store.create(new())
    until = clock.now + 60
    assert await store.revoke_sid(ISSUER, "laptop", sub="eve", reason="x", until=until) == []
    assert await store.read(ada.key) == ada
    assert await store.create(new())
    with pytest.raises(SessionEnded):
        await store.create(new(sub="eve"))


async def test_a_logout_by_sid_may_come_before_its_session(store: SessionStore, new, clock) -> None:
    """Until its end the tombstone refuses (iss, sid), whenever the id token was issued."""
    until = clock.now + 60
    assert await store.revoke_sid(ISSUER, "laptop", reason="backchannel", until=until) == []
    for late in (new(), new(sub="eve"), new(authenticated=clock.now + 30)):
        with pytest.raises(SessionEnded) as caught:
            await store.create(late)
        assert caught.value.code == "session_tombstoned"
        assert await store.read(late.key) is None
    for other in (new(sid="phone"), new(sid=None), new(iss="https://other.example.com")):
        assert await store.create(other)
    clock.now = until - 0.5
    with pytest.raises(SessionEnded):
        await store.create(new())
    clock.now = until
    assert await store.create(new())


@pytest.mark.parametrize(
    ("offset", "accepted"),
    [
        pytest.param(-1, False, id="before"),
        pytest.param(-0.001, False, id="just_before"),
        pytest.param(0, True, id="at"),
        pytest.param(1, True, id="after"),
    ],
)
@pytest.mark.parametrize("sid", ["laptop", None], ids=["with_sid", "without_sid"])
async def test_a_logout_by_sub_may_come_before_its_session(
    store: SessionStore, new, clock, offset: float, accepted: bool, sid: str | None
) -> None:
    """A tombstone of (iss, sub) refuses id tokens issued strictly before the logout token."""
    issued, until = clock.now + 10, clock.now + 60
    assert await store.revoke_sub(ISSUER, "ada", issued=issued, reason="x", until=until) == []
    late = new(authenticated=issued + offset, sid=sid)
    if accepted:
        assert await store.create(late) == late
        assert await store.read(late.key) == late
    else:
        with pytest.raises(SessionEnded) as caught:
            await store.create(late)
        assert caught.value.code == "session_tombstoned"
        assert await store.read(late.key) is None
        clock.now = until
        assert await store.create(replace(late, seen=until))
    for other in (new(sub="eve"), new(iss="https://other.example.com")):
        assert await store.create(other)


@pytest.mark.parametrize("sid", ["laptop", None], ids=["with_sid", "without_sid"])
async def test_a_logout_without_a_time_goes_by_the_mark(
    store: SessionStore, new, clock, sid: str | None
) -> None:
    """Where nobody knows when the logout was issued, it refuses what was at work before it came,
    whatever any clock says, and nothing that began later."""
    before, until = await store.mark(), clock.now + 60
    assert await store.create(new(sid=sid), mark=before)
    assert len(await store.revoke_sub(ISSUER, "ada", issued=None, reason="x", until=until)) == 1
    after = await store.mark()
    for authenticated in (clock.now - 50, clock.now, clock.now + 50):
        late = new(sid=sid, authenticated=authenticated)
        with pytest.raises(SessionEnded) as caught:
            await store.create(late, mark=before)
        assert caught.value.code == "session_tombstoned"
        assert await store.read(late.key) is None
        assert await store.create(late, mark=after) == late
    assert await store.create(new(sid=sid))  # of nobody's login: it began just now
    for other in (new(sub="eve"), new(iss="https://other.example.com")):
        assert await store.create(other, mark=before)
    clock.now = until
    assert await store.create(new(sid=sid), mark=before)


async def test_marks_are_in_order(store: SessionStore, new, clock) -> None:
    """Each such logout is later than what came before, also after all tombstones are pruned."""
    marks = [await store.mark()]
    for sub in ("ada", "eve", "ada"):
        await store.revoke_sub(ISSUER, sub, issued=None, reason="x", until=clock.now + 60)
        marks.append(await store.mark())
    assert marks == sorted(set(marks))
    with pytest.raises(SessionEnded):
        await store.create(new(), mark=marks[2])  # the second of ada's holds too
    assert await store.create(new(sub="eve"), mark=marks[2])
    clock.now += 60
    assert await store.prune() == 2
    assert await store.mark() == marks[-1]
    await store.revoke_sub(ISSUER, "ada", issued=None, reason="x", until=clock.now + 60)
    with pytest.raises(SessionEnded):
        await store.create(new(), mark=marks[-1])


async def test_of_several_tombstones_the_strictest_holds(store: SessionStore, new, clock) -> None:
    """A second logout neither shortens nor weakens the first."""
    now = clock.now
    await store.revoke_sub(ISSUER, "ada", issued=now + 10, reason="x", until=now + 60)
    await store.revoke_sub(ISSUER, "ada", issued=now + 5, reason="x", until=now + 30)
    clock.now = now + 40
    with pytest.raises(SessionEnded):
        await store.create(new(authenticated=now + 7))
    await store.revoke_sid(ISSUER, "laptop", reason="x", until=now + 99)
    await store.revoke_sid(ISSUER, "laptop", reason="x", until=now + 50)
    clock.now = now + 70
    with pytest.raises(SessionEnded):
        await store.create(new())
    assert await store.create(new(sid=None, authenticated=now + 7))


async def test_revoke_sub_ends_all_of_a_subject(store: SessionStore, new, clock) -> None:
    """Whatever their sid and age, newest first; nobody else's."""
    ages = [2, 0, 3, 1]
    mine = [
        await store.create(new(sid=sid, created=clock.now + age))
        for sid, age in zip(["laptop", "phone", None, None], ages, strict=True)
    ]
    future = await store.create(new(authenticated=clock.now + 50))
    others = [await store.create(new(sub="eve")), await store.create(new(iss="https://o.example"))]
    ended = await store.revoke_sub(
        ISSUER, "ada", issued=clock.now, reason="backchannel", until=clock.now + 60
    )
    assert [s.key for s in ended if s != future] == [mine[i].key for i in (2, 0, 3, 1)]
    assert future in ended
    for session in ended:
        assert await store.read(session.key) is None
    for session in others:
        assert await store.read(session.key) == session


async def test_a_create_and_a_logout_at_once_leave_nothing_alive(
    store: SessionStore, new, clock
) -> None:
    """Whichever of them is first: the session is ended or refused."""
    until = clock.now + 60
    for count in range(20):
        session = new(sid=f"sid {count}")
        created, ended = await asyncio.gather(
            store.create(session),
            store.revoke_sid(ISSUER, f"sid {count}", reason="backchannel", until=until),
            return_exceptions=True,
        )
        assert ended == [session] or isinstance(created, SessionEnded)
        assert await store.read(session.key) is None


async def test_names_in_an_index_are_not_glued_together(store: SessionStore, new, clock) -> None:
    """Where one name ends and the next begins is never in doubt."""
    session = await store.create(new(iss="https://a.example/x", sid="y"))
    until = clock.now + 60
    for iss, sid in (("https://a.example/", "xy"), ("https://a.example/xy", "")):
        assert await store.revoke_sid(iss, sid, reason="x", until=until) == []
    assert await store.read(session.key)


async def test_list_sub_is_newest_first_without_the_dead(store: SessionStore, new, clock) -> None:
    """A user's devices: those alive, with what was saved and noted last."""
    sessions = [await store.create(new(created=clock.now + n)) for n in (1, 3, 2, 5, 4)]
    await store.create(new(sub="eve"))
    await store.revoke(sessions[3].key, reason="revoked")
    await store.create(new(expires=clock.now + 1))
    await store.touch(sessions[0].key, clock.now + 9)
    clock.now += 2
    assert await store.list_sub(ISSUER, "ada") == [
        sessions[4],
        sessions[1],
        sessions[2],
        replace(sessions[0], seen=clock.now + 7),
    ]
    assert await store.list_sub(ISSUER, "nobody") == []


async def test_list_sid_is_newest_first_without_the_dead(store: SessionStore, new, clock) -> None:
    """The sessions of one session at the provider: of its issuer alone, and the living ones."""
    older = await store.create(new(sid="s1"))
    clock.now += 1
    newer = await store.create(new(sid="s1"))
    await store.create(new(sid="s2"))
    await store.create(new(iss="https://other.example", sid="s1"))
    assert await store.list_sid(ISSUER, "s1") == [newer, older]
    await store.revoke(older.key, reason="logout")
    assert await store.list_sid(ISSUER, "s1") == [newer]
    clock.now += 10**6
    assert await store.list_sid(ISSUER, "s1") == []
    assert await store.list_sid(ISSUER, "nobody's") == []


async def test_put_once_has_one_winner(store: SessionStore, clock) -> None:
    """True for exactly one of all callers until it expires, and then again for one."""
    for _ in range(2):
        expires = clock.now + 10
        won = await asyncio.gather(*(store.put_once("state", expires=expires) for _ in range(50)))
        assert sorted(won) == [False] * 49 + [True]
        clock.now = expires - 0.5
        assert not await store.put_once("state", expires=expires + 99)
        assert await store.put_once("another", expires=expires)
        clock.now = expires


async def test_extend_is_for_the_holder(store: SessionStore, clock) -> None:
    """A lease is renewed with its holder's value only, and only while it is there."""
    assert not await store.extend("lease", value="me", expires=clock.now + 10)
    assert await store.put_once("lease", value="me", expires=clock.now + 10)
    assert not await store.extend("lease", value="you", expires=clock.now + 99)
    assert not await store.extend("lease", value="", expires=clock.now + 99)
    assert await store.extend("lease", value="me", expires=clock.now + 20)
    clock.now += 15
    assert not await store.put_once("lease", value="you", expires=clock.now + 10)
    clock.now += 5
    assert not await store.extend("lease", value="me", expires=clock.now + 10)
    assert await store.put_once("lease", value="you", expires=clock.now + 10)
    assert not await store.extend("lease", value="me", expires=clock.now + 10)


async def test_extend_may_change_the_value(store: SessionStore, clock) -> None:
    """Compare and set: of two who saw the same value one puts its own."""
    assert await store.put_once("lease", value="dead", expires=clock.now + 10)
    took = await asyncio.gather(
        *(
            store.extend("lease", value="dead", new_value=me, expires=clock.now + 20)
            for me in ("one", "two")
        )
    )
    assert sorted(took) == [False, True]
    assert await store.peek("lease") == ("one" if took[0] else "two")
    clock.now += 15
    assert await store.peek("lease") is not None
    value = str(await store.peek("lease"))
    assert await store.extend("lease", value=value, new_value="", expires=clock.now + 1)
    assert await store.peek("lease") == ""


async def test_a_lease_given_up_is_free(store: SessionStore, clock) -> None:
    """extend to now is how a holder lets go without taking another's."""
    assert await store.put_once("lease", value="me", expires=clock.now + 10)
    assert await store.extend("lease", value="me", expires=clock.now)
    assert await store.put_once("lease", value="you", expires=clock.now + 10)


async def test_take_is_for_one(store: SessionStore, clock) -> None:
    """take removes: one of all callers has the value, the others None; never an expired one."""
    assert await store.take("word") is None
    assert await store.put_once("word", value="pod ✓", expires=clock.now + 10)
    assert await store.peek("word") == "pod ✓"
    taken = await asyncio.gather(*(store.take("word") for _ in range(20)))
    assert [t for t in taken if t is not None] == ["pod ✓"]
    assert await store.put_once("word", value="more", expires=clock.now + 10)
    clock.now += 10
    assert await store.take("word") is None


async def test_peek_leaves_it(store: SessionStore, clock) -> None:
    """peek tells the value, '' where none was given, until it expires."""
    assert await store.peek("jti") is None
    assert await store.put_once("jti", expires=clock.now + 10)
    assert await store.peek("jti") == ""
    assert await store.peek("jti") == ""
    assert not await store.put_once("jti", expires=clock.now + 10)
    clock.now += 10
    assert await store.peek("jti") is None


async def test_a_store_whose_entries_vanish_has_no_expired_ones_to_give(
    store: SessionStore, new, clock
) -> None:
    """What take_expired promises is optional: by itself the contract gives none, and takes none."""
    session = await store.create(new())
    clock.now = session.ends_at
    assert await SessionStore.take_expired(store, 10) == []
    assert await store.take_expired(10) == [session]


async def test_prune_drops_what_is_past_its_end(store: SessionStore, new, clock) -> None:
    """The dead are dropped and counted, the living stay."""
    alive = await store.create(new())
    touched = await store.create(new(expires=clock.now + 700))
    await store.create(new(expires=clock.now + 100))
    await store.create(new(idle=100))
    await store.revoke_sid(ISSUER, "x", reason="x", until=clock.now + 100)
    await store.revoke_sub(ISSUER, "x", issued=clock.now, reason="x", until=clock.now + 101)
    await store.put_once("one", expires=clock.now + 100)
    await store.put_once("two", expires=clock.now + 101)
    assert await store.prune() == 0
    clock.now += 100
    await store.touch(touched.key, clock.now)
    assert await store.prune() == 4
    assert await store.prune() == 0
    assert await store.list_sub(ISSUER, "ada") == [alive, replace(touched, seen=clock.now)]
    assert await store.peek("two") == ""
    with pytest.raises(SessionEnded):
        await store.create(new(sub="x", authenticated=clock.now - 101))
    clock.now += 500
    assert await store.prune() == 3
    assert await store.read(touched.key)


async def test_sessions_past_their_end_are_taken_once(store: SessionStore, new, clock) -> None:
    """Who revokes their tokens gets them whole, each once, some at a time; the living stay."""
    alive = await store.create(new())
    short = await store.create(new(expires=clock.now + 100))
    idle = await store.create(new(idle=100))
    assert await store.take_expired(10) == []
    clock.now += 100
    first, second = await store.take_expired(1), await store.take_expired(10)
    assert len(first) == 1
    assert sorted(s.key for s in first + second) == sorted([short.key, idle.key])
    assert [s for s in first + second if s.key == short.key] == [short]
    assert await store.take_expired(10) == []
    assert await store.list_sub(ISSUER, "ada") == [alive]
    assert await store.prune() == 0


async def test_a_key_is_free_after_its_session_was_pruned(store: SessionStore, new, clock) -> None:
    """Only what is gone may be created again."""
    session = await store.create(new())
    clock.now += 600
    again = replace(session, seen=clock.now)
    with pytest.raises(SessionConflict):
        await store.create(again)
    await store.prune()
    assert await store.create(again) == again


async def test_a_closed_store_knows_nothing(store: SessionStore, new, clock) -> None:
    """After close every call raises StoreUnavailable; closing again is fine."""
    session = await store.create(new())
    until = clock.now + 60
    await store.close()
    await store.close()
    for attempt in (
        store.mark(),
        store.create(new()),
        store.read(session.key),
        store.save(session),
        store.touch(session.key, clock.now),
        store.revoke(session.key, reason="x"),
        store.revoke_sid(ISSUER, "laptop", reason="x", until=until),
        store.revoke_sub(ISSUER, "ada", issued=clock.now, reason="x", until=until),
        store.list_sub(ISSUER, "ada"),
        store.list_sid(ISSUER, "laptop"),
        store.put_once("name", expires=until),
        store.extend("name", value="", expires=until),
        store.take("name"),
        store.peek("name"),
        store.prune(),
        store.take_expired(1),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            await attempt
        assert caught.value.code == "store_closed"
    with pytest.raises(StoreUnavailable):
        store.start(lambda revocation: None)
