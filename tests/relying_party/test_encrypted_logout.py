"""Logins, refreshes and logouts at a provider that encrypts its tokens to us."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clefstorm.client import AsyncClient
from clefstorm.errors import ProtocolViolation, RequestRefused
from clefstorm.jwe import encrypt_jwe, generate_decryption_key
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import MemorySessionStore

KEY = generate_decryption_key("ECDH-ES", kid="to-us")
AGREED: dict[str, Any] = {
    "decryption_key": KEY,
    "id_token_encrypted_response_alg": "ECDH-ES",
    "id_token_encrypted_response_enc": "A128GCM",
}


def encrypted(token: str, key: Any = KEY, *, enc: str = "A128GCM") -> str:
    return encrypt_jwe(token, key.to_jwk(), alg="ECDH-ES", enc=enc)


@pytest.fixture
def wire(wire: Any) -> Any:
    """The provider of these tests, which now encrypts what it signs for a login."""
    signed = wire.sign
    wire.provider = replace(wire.provider, **AGREED)
    wire.sign = lambda claims, *, typ="JWT": (
        signed(claims, typ=typ) if typ != "JWT" else encrypted(signed(claims, typ=typ))
    )
    return wire


async def test_kept_as_it_was_signed(visitor) -> None:
    """The session holds the signed token, and no URL does: it was encrypted for us."""
    session = (await visitor.sign_in()).session
    assert session.tokens.id_token.count(".") == 2
    start = await visitor.relying_party.log_out(visitor.session_id)
    assert "client_id=app" in start.url
    assert "id_token_hint" not in start.url
    assert session.tokens.id_token not in start.url


async def test_after_a_refresh_too(visitor, given_clock) -> None:
    """The id token of a refresh is opened, judged and kept so."""
    visitor.wire.refreshed_claims = {}
    session = (await visitor.sign_in()).session
    given_clock.advance(60)
    fresh = await visitor.relying_party.refresh(session)
    assert fresh.tokens.id_token.count(".") == 2
    assert fresh.tokens.id_token != session.tokens.id_token


async def test_encrypted_logout_token(visitor) -> None:
    """Nothing outside says whom it is from: the alias that can open it finds out."""
    await visitor.sign_in(sid="s1")
    party = visitor.relying_party
    assert await party.receive_logout(encrypted(visitor.wire.logout_token(sid="s1"))) == 1
    assert await visitor.session() is None


async def test_unencrypted_logout_token(visitor) -> None:
    """Where encryption was agreed, one without it is refused (Back-Channel Logout 1.0, 2.6)."""
    await visitor.sign_in(sid="s1")
    with pytest.raises(ProtocolViolation) as refused:
        await visitor.relying_party.receive_logout(visitor.wire.logout_token(sid="s1"))
    assert refused.value.code == "jwt_not_encrypted"
    assert await visitor.session() is not None


@pytest.mark.parametrize(
    ("token", "kind", "code"),
    [
        pytest.param(
            lambda wire: encrypted(wire.logout_token(sid="s1"), generate_decryption_key("ECDH-ES")),
            ProtocolViolation,
            "jwe_undecryptable",
            id="to_another_key",
        ),
        pytest.param(
            lambda wire: encrypted(wire.logout_token(sid="s1"), enc="A256GCM"),
            ProtocolViolation,
            "jwe_enc_not_allowed",
            id="enc",
        ),
        pytest.param(
            lambda wire: encrypted('{"sid": "s1"}'),
            ProtocolViolation,
            "jwe_not_nested",
            id="unsigned",
        ),
        pytest.param(
            lambda wire: encrypted(wire.logout_token(sid="s1", iss="https://b.example")),
            RequestRefused,
            "logout_token_foreign",
            id="another_issuer",
        ),
        pytest.param(
            lambda wire: encrypted(wire.logout_token(sid="s1", aud="other")),
            RequestRefused,
            "logout_token_foreign",
            id="another_client",
        ),
        pytest.param(
            lambda wire: encrypted(wire.logout_token(sid="s1")[:-4] + "AAAA"),
            ProtocolViolation,
            "signature_invalid",
            id="signature",
        ),
    ],
)
async def test_refused(visitor, token, kind, code) -> None:
    """What can't be opened, or is no good token inside, ends nothing."""
    await visitor.sign_in(sid="s1")
    with pytest.raises(kind) as refused:
        await visitor.relying_party.receive_logout(token(visitor.wire))
    assert refused.value.code == code
    assert await visitor.session() is not None


async def test_the_right_one_of_several_aliases(wire, given_clock, io_loop) -> None:
    """Aliases without encryption, or with other keys, are passed by."""
    other = replace(
        wire.provider,
        client_id="other",
        decryption_key=generate_decryption_key("ECDH-ES", kid="theirs"),
    )
    plain = replace(
        other,
        client_id="plain",
        decryption_key=None,
        id_token_encrypted_response_alg=None,
        id_token_encrypted_response_enc=None,
    )
    clients = {}
    for alias, provider in {"plain": plain, "other": other, "default": wire.provider}.items():
        clients[alias] = AsyncClient(provider, alias=alias, clock=given_clock)
        clients[alias]._runner = wire
    party = RelyingParty(
        clients, sessions=MemorySessionStore(clock=given_clock), secret="s" * 32, clock=given_clock
    )
    heard: list[Any] = []
    party.listeners.append(heard.append)
    assert await party.receive_logout(encrypted(wire.logout_token(sub="alice"))) == 0
    assert [one.alias for one in heard if one.event == "logout_received"] == ["default"]
    del clients["default"]
    with pytest.raises(ProtocolViolation) as refused:
        await party.receive_logout(encrypted(wire.logout_token(sub="alice")))
    assert refused.value.code == "jwe_kid_unknown"
    del clients["other"]
    with pytest.raises(ProtocolViolation) as refused:
        await party.receive_logout(encrypted(wire.logout_token(sub="alice")))
    assert refused.value.code == "jwt_encrypted"
    await party.close()
