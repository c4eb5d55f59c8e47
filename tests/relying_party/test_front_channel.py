"""Front-Channel Logout 1.0: the provider's word without a proof but the sid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clefstorm.client import AsyncClient
from clefstorm.errors import RequestRefused, StoreUnavailable

ISSUER = "https://id.example.com"


@pytest.fixture
def wire(wire: Any) -> Any:
    """The provider, configured with its front channel."""
    wire.provider = replace(wire.provider, frontchannel_logout=True)
    return wire


async def test_only_by_option(visitor, make_party, make_visitor, wire) -> None:
    """It proves nothing, and so ends nothing of an alias that does not ask for it."""
    store = visitor.relying_party.sessions
    await visitor.sign_in(sid="s1")
    assert await visitor.relying_party.receive_frontchannel_logout(ISSUER, "s1") == 1
    wire.provider = replace(wire.provider, frontchannel_logout=False)
    silent = make_visitor(make_party(sessions=store))
    await silent.sign_in(sid="s2")
    with pytest.raises(RequestRefused) as refused:
        await silent.relying_party.receive_frontchannel_logout(ISSUER, "s2")
    assert refused.value.code == "frontchannel_issuer_unknown"
    assert await silent.session() is not None


async def test_another_alias_of_that_issuer_is_left_alone(visitor, wire, given_clock) -> None:
    """The option is an alias's own, also where two share a provider."""
    other = AsyncClient(replace(wire.provider, frontchannel_logout=False), clock=given_clock)
    other._runner = wire
    visitor.relying_party.clients["other"] = other
    await visitor.sign_in(sid="s1", alias="other")
    assert await visitor.relying_party.receive_frontchannel_logout(ISSUER, "s1") == 0
    assert await visitor.session() is not None


async def test_it_ends_the_sessions_of_that_sid(visitor, another_visitor) -> None:
    """That session at the provider ends here, and every tab of it is told why (section 2)."""
    session = await visitor.sign_in(sid="s1")
    await another_visitor.sign_in(sid="s2")
    party = visitor.relying_party
    with party.watch(session.session.key) as told:
        assert await party.receive_frontchannel_logout(ISSUER, "s1") == 1
        assert (await told.next(timeout=1)).message == {"reason": "frontchannel"}
    assert await visitor.session() is None
    assert await another_visitor.session() is not None
    assert await party.receive_frontchannel_logout(ISSUER, "s1") == 0


async def test_another_issuer_ends_nothing(visitor) -> None:
    """The sid is a provider's own name, and no other provider's (section 2)."""
    await visitor.sign_in(sid="s1")
    for iss in ("https://evil.example", f"{ISSUER}/", ""):
        with pytest.raises(RequestRefused) as refused:
            await visitor.relying_party.receive_frontchannel_logout(iss, "s1")
        assert refused.value.code == "frontchannel_issuer_unknown"
    assert await visitor.session() is not None


async def test_what_a_stranger_makes_up_is_not_written_down(
    visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to prove anything, so a sid that is nobody's costs a look, and no write."""
    await visitor.sign_in(sid="s1")
    party = visitor.relying_party

    async def written(*args: Any, **more: Any) -> None:
        raise AssertionError("written")

    for name in ("revoke", "revoke_sid", "revoke_sub", "put_once"):
        monkeypatch.setattr(party.sessions, name, written)
    assert await party.receive_frontchannel_logout(ISSUER, "of-nobody") == 0
    with pytest.raises(AssertionError):
        await party.receive_frontchannel_logout(ISSUER, "s1")


async def test_an_unreachable_store_is_told(visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told that a logout is done which is not."""
    await visitor.sign_in(sid="s1")

    async def unreachable(*args: Any, **more: Any) -> Any:
        raise StoreUnavailable("it is down")

    with monkeypatch.context() as patch:
        patch.setattr(visitor.relying_party.sessions, "list_sid", unreachable)
        with pytest.raises(StoreUnavailable):
            await visitor.relying_party.receive_frontchannel_logout(ISSUER, "s1")
    assert await visitor.session() is not None
