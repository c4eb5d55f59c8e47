"""The relying party's sessions and settings."""

from __future__ import annotations

import stat

import pytest

from clefstorm.client import AsyncClient
from clefstorm.errors import ConfigurationError, StoreUnavailable, UnknownAlias
from clefstorm.providers import OAuth2Provider
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import MemorySessionStore


def _client(redirect_uri: str) -> AsyncClient:
    provider = OAuth2Provider(
        client_id="app",
        redirect_uri=redirect_uri,
        authorization_endpoint="https://id.example.com/authorize",
        token_endpoint="https://id.example.com/token",
        userinfo_endpoint="https://id.example.com/me",
    )
    return AsyncClient(provider)


async def test_activity_puts_off_the_idle_end(make_party, make_visitor, given_clock) -> None:
    """A request within the idle time keeps the session; without one it ends, to the second."""
    visitor = make_visitor(make_party(idle=600, lifetime=86400))
    await visitor.sign_in()
    given_clock.advance(599)
    assert await visitor.session() is not None
    given_clock.advance(599)
    assert await visitor.session() is not None
    given_clock.advance(600)
    assert await visitor.session() is None


async def test_polls_are_no_activity(make_party, make_visitor, given_clock) -> None:
    """A look with active=False does not put off the idle end."""
    visitor = make_visitor(make_party(idle=600, lifetime=86400))
    await visitor.sign_in()
    given_clock.advance(599)
    assert await visitor.relying_party.session(visitor.session_id, active=False) is not None
    given_clock.advance(1)
    assert await visitor.session() is None


async def test_no_activity_puts_off_the_absolute_end(make_party, make_visitor, given_clock) -> None:
    """After its lifetime a session ends, however busy it was."""
    visitor = make_visitor(make_party(idle=600, lifetime=1000))
    await visitor.sign_in()
    given_clock.advance(500)
    assert await visitor.session() is not None
    given_clock.advance(499)
    assert await visitor.session() is not None
    given_clock.advance(1)
    assert await visitor.session() is None


async def test_a_made_up_session_id_is_nobody(visitor) -> None:
    """Cookies of any content sign nobody in."""
    await visitor.sign_in()
    for made_up in ("", "x", "\udcff", "a" * 4096, visitor.session_id[:-1]):
        assert await visitor.relying_party.session(made_up) is None
    assert await visitor.session() is not None


async def test_https_cookies_are_host_cookies() -> None:
    """With an https redirect_uri every cookie has the prefix __Host-."""
    party = RelyingParty(
        {"default": _client("https://app.example.com/auth/callback")},
        sessions=MemorySessionStore(),
        secret="s" * 32,
    )
    names = party.cookies
    assert names.secure
    for name in (names.session, names.login, names.logout):
        assert name.startswith("__Host-")
    await party.close()


async def test_http_cookies_are_unique_to_the_application() -> None:
    """On http localhost, where ports share cookies, two applications have different names."""
    parties = [
        RelyingParty(
            {"default": _client("http://localhost:8000/auth/callback")},
            sessions=MemorySessionStore(),
            secret=letter * 32,
        )
        for letter in "ab"
    ]
    one, two = (party.cookies for party in parties)
    assert not one.secure
    assert one.session != two.session
    for party in parties:
        await party.close()


async def test_https_and_http_are_not_mixed() -> None:
    """One application with redirect_uris of both schemes is a configuration error."""
    party = RelyingParty(
        {
            "one": _client("https://app.example.com/auth/callback"),
            "two": _client("http://localhost:8000/auth/callback"),
        },
        sessions=MemorySessionStore(),
        secret="s" * 32,
    )
    with pytest.raises(ConfigurationError) as refused:
        _ = party.cookies
    assert refused.value.code == "redirect_uri_mixed"
    await party.close()


async def test_sessions_and_key_are_kept_in_private_files(tmp_path, make_visitor, wire) -> None:
    """By default sessions and key survive a restart, in files that only their owner reads."""

    def start() -> RelyingParty:
        client = AsyncClient(wire.provider, clock=wire.clock)
        client._runner = wire
        return RelyingParty({"default": client}, path=tmp_path, clock=wire.clock)

    first = start()
    visitor = make_visitor(first)
    await visitor.sign_in()
    await first.close()
    second = start()
    assert (await second.session(visitor.session_id)).sub == "alice"
    for name in ("clefstorm.key", "clefstorm.sqlite"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    await second.close()


async def test_the_folder_can_come_from_the_environment(tmp_path, monkeypatch) -> None:
    """CLEFSTORM_HOME names the folder when no path is given."""
    monkeypatch.setenv("CLEFSTORM_HOME", str(tmp_path))
    party = RelyingParty({"default": _client("http://localhost:8000/auth/callback")})
    await party.close()
    assert sorted(path.name for path in tmp_path.glob("clefstorm.*"))[0] == "clefstorm.key"


async def test_a_rotated_secret_keeps_pending_logins(make_party, make_visitor, wire) -> None:
    """The first secret seals, all open: a login begun before a rotation ends after it."""
    visitor = make_visitor(make_party())
    url = await visitor.begin()
    client = AsyncClient(wire.provider, clock=wire.clock)
    client._runner = wire
    rotated = RelyingParty(
        {"default": client},
        sessions=MemorySessionStore(clock=wire.clock),
        secret=["n" * 32, "s" * 32],
        clock=wire.clock,
    )
    visitor.relying_party = rotated
    assert (await visitor.finish(wire.approve(url))).session.sub == "alice"
    await rotated.close()


async def test_what_can_be_read_does_not_wait_for_what_cannot_be_written(
    visitor, given_clock
) -> None:
    """A store that takes no writes still says who is signed in."""
    await visitor.sign_in()
    given_clock.advance(3600)

    async def broken(key, seen):
        raise StoreUnavailable("no", code="store_full")

    visitor.relying_party.sessions.touch = broken
    assert (await visitor.session()).sub == "alice"


async def test_logins_tidy_the_store_up(visitor, given_clock) -> None:
    """What expired is dropped at a later login, so that the store does not grow for ever."""
    await visitor.sign_in()
    await visitor.relying_party._tidying.close()
    given_clock.advance(30 * 86400)
    store, dropped = visitor.relying_party.sessions, []
    prune = store.prune

    async def count() -> int:
        dropped.append(await prune())
        return dropped[-1]

    store.prune = count
    await visitor.sign_in()
    await visitor.sign_in()
    await visitor.relying_party._tidying.close()
    assert dropped == [2]  # the session and the used state of a month ago


async def test_a_store_that_cannot_tidy_up_stops_no_login(visitor) -> None:
    """A failing prune is told to the listeners and to nobody else."""
    heard = []
    visitor.relying_party.listeners.append(lambda happening: heard.append(happening.event))

    async def broken() -> int:
        raise StoreUnavailable("no", code="store_busy")

    visitor.relying_party.sessions.prune = broken
    assert (await visitor.sign_in()).session.sub == "alice"
    await visitor.relying_party._tidying.close()
    assert "prune_failed" in heard


async def test_a_client_that_is_not_there_is_named(party) -> None:
    """An alias that no client has is an UnknownAlias, which is a KeyError too."""
    assert party.client() is party.clients["default"]
    with pytest.raises(UnknownAlias):
        party.client("nobody")
