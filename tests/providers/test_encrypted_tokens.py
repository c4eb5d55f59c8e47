"""Encrypted id tokens and logout tokens, signed and encrypted userinfo, driven by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import (
    ISSUER,
    NOW,
    REDIRECT,
    SIGNING,
    Wire,
    as_json,
    clock,
    drive,
)

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError
from clefstorm.jwe import encrypt_jwe, generate_decryption_key
from clefstorm.keys import HS256Key, generate_key
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.logout_token import LOGOUT_EVENT
from clefstorm.providers import OpenIDProvider, SignedIn

SECRET = "a-secret-of-thirty-two-characters"
STATE_KEY = HS256Key(b"k" * 32)
KEY = generate_decryption_key("ECDH-ES", kid="to-us")
RSA = generate_decryption_key("RSA-OAEP-256", kid="rsa-to-us")
AGREED: dict[str, Any] = {
    "decryption_key": KEY,
    "id_token_encrypted_response_alg": "ECDH-ES",
    "id_token_encrypted_response_enc": "A256GCM",
}
SIGNED_USERINFO: dict[str, Any] = {"userinfo_signed_response_alg": "ES256"}


def make(**changes: Any) -> OpenIDProvider:
    options = {
        "issuer": ISSUER,
        "client_id": "app",
        "client_secret": SECRET,
        "redirect_uri": REDIRECT,
        **changes,
    }
    return OpenIDProvider(**options)


def encrypted(token: str, *, key: Any = KEY, alg: str = "ECDH-ES", enc: str = "A256GCM") -> str:
    return encrypt_jwe(token, key.to_jwk(), alg=alg, enc=enc)


@dataclass
class EncryptingWire(Wire):
    """A provider that encrypts its id tokens, as ``encrypt`` does it."""

    encrypt: Any = encrypted

    def id_token(self) -> str:
        return self.encrypt(super().id_token())


def sign_in(provider: OpenIDProvider, wire: Wire) -> SignedIn:
    begun = drive(provider.begin_login(STATE_KEY, clock=clock), wire).result
    wire.nonce = begun.pending.nonce
    answers = [("code", "the-code"), ("state", begun.state)]
    grant = drive(provider.check_callback(answers, begun.pending), wire).result
    return drive(provider.redeem(grant, clock=clock), wire).result


# -- id tokens ---------------------------------------------------------------------------------


def test_encrypted_id_token() -> None:
    """Decrypted first, then judged as any other; what is kept is the signed token, which is no
    hint in the URL of a logout, for others read those (Core 1.0, 3.1.3.7 and 10.2).
    """
    signed_in = sign_in(make(**AGREED), EncryptingWire())
    assert signed_in.identity.sub == "ann"
    assert signed_in.tokens.id_token is not None
    assert signed_in.tokens.id_token.count(".") == 2
    hint, urls = signed_in.tokens.id_token, []
    for provider in (make(), make(**AGREED)):
        urls.append(str(drive(provider.end_session_url(id_token=hint, state=None), Wire()).result))
    assert f"id_token_hint={hint}" in urls[0]
    assert "client_id=app" in urls[1]
    assert "id_token_hint" not in urls[1]


@pytest.mark.parametrize(
    ("encrypt", "code"),
    [
        pytest.param(lambda token: token, "jwt_not_encrypted", id="not_encrypted"),
        pytest.param(
            lambda token: encrypted(token, enc="A128GCM"), "jwe_enc_not_allowed", id="enc"
        ),
        pytest.param(
            lambda token: encrypted(token, key=RSA, alg="RSA-OAEP-256"),
            "jwe_alg_not_allowed",
            id="alg",
        ),
        pytest.param(
            lambda token: encrypted(token, key=generate_decryption_key("ECDH-ES", kid="to-us")),
            "jwe_undecryptable",
            id="another_key",
        ),
        pytest.param(
            lambda token: encrypted(json.dumps({"iss": ISSUER, "sub": "ann", "aud": "app"})),
            "jwe_not_nested",
            id="unsigned_claims",
        ),
        pytest.param(
            lambda token: encrypted("eyJhbGciOiJub25lIn0" + token[token.index(".") :]),
            "alg_none",
            id="alg_none_inside",
        ),
        pytest.param(
            lambda token: encrypted(token[:-4] + "AAAA"), "signature_invalid", id="signature"
        ),
        pytest.param(
            lambda token: encrypted(encrypted(token)), "jwe_not_nested", id="encrypted_twice"
        ),
    ],
)
def test_encrypted_id_token_refused(encrypt: Any, code: str) -> None:
    """Encryption adds to the checks and replaces none."""
    assert sign_in(make(**AGREED), EncryptingWire())
    with refusal(ProtocolViolation, code):
        sign_in(make(**AGREED), EncryptingWire(encrypt=encrypt))


def test_encryption_that_was_not_agreed() -> None:
    """An encrypted token is refused where the client never asked for it."""
    assert sign_in(make(), Wire())
    with refusal(ProtocolViolation, "jwt_encrypted"):
        sign_in(make(), EncryptingWire())


def test_default_enc() -> None:
    """Registered without enc, it is A128CBC-HS256 (Dynamic Registration 1.0, section 2)."""
    agreed = {**AGREED, "id_token_encrypted_response_enc": None}
    wire = EncryptingWire(encrypt=lambda token: encrypted(token, enc="A128CBC-HS256"))
    assert sign_in(make(**agreed), wire)


def test_keys_in_rotation() -> None:
    """The new and the old key open; those of another algorithm are not looked at."""
    new = generate_decryption_key("ECDH-ES", kid="new")
    assert sign_in(make(**{**AGREED, "decryption_key": [RSA, new, KEY]}), EncryptingWire())
    with refusal(ProtocolViolation, "jwe_kid_unknown"):
        sign_in(make(**{**AGREED, "decryption_key": [RSA, new]}), EncryptingWire())


def test_refreshed_id_token() -> None:
    """A refresh brings an encrypted one, held against the first (Core 1.0, 12.2)."""
    provider, wire = make(**AGREED), EncryptingWire()
    signed_in = sign_in(provider, wire)
    fresh = drive(provider.refresh(signed_in.tokens, clock=clock), wire).result
    assert fresh.id_token is not None
    identity = drive(
        provider.identify_refreshed(fresh, signed_in.identity, clock=clock), wire
    ).result
    assert isinstance(identity, Identity)
    assert provider.open_token(fresh.id_token).count(".") == 2
    plain = replace(fresh, id_token=Wire.id_token(wire))
    with refusal(ProtocolViolation, "jwt_not_encrypted"):
        drive(provider.identify_refreshed(plain, signed_in.identity, clock=clock), wire)


def logout_token() -> str:
    claims = {
        "iss": ISSUER,
        "aud": "app",
        "sub": "ann",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "1",
        "events": {LOGOUT_EVENT: {}},
    }
    return build_jwt(claims, SIGNING, typ="logout+jwt")


def test_logout_token() -> None:
    """Logout tokens are encrypted as id tokens are (Back-Channel Logout 1.0, sections 2.4, 2.6)."""
    provider = make(**AGREED)
    notice = drive(provider.check_logout(encrypted(logout_token()), clock=clock), Wire()).result
    assert (notice.sub, notice.jti) == ("ann", "1")
    with refusal(ProtocolViolation, "jwt_not_encrypted"):
        drive(provider.check_logout(logout_token(), clock=clock), Wire())
    with refusal(ProtocolViolation, "jwt_encrypted"):
        drive(make().check_logout(encrypted(logout_token()), clock=clock), Wire())


# -- userinfo ----------------------------------------------------------------------------------


def userinfo(key: Any = SIGNING, **changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": "app", "sub": "ann", "name": "Ann", **changes}
    return build_jwt({name: value for name, value in claims.items() if value is not None}, key)


def as_jwt(token: str) -> Response:
    return Response(
        status=200, headers={"content-type": "application/jwt"}, body=token.encode("ascii")
    )


def test_signed_userinfo() -> None:
    """Its claims count, but for those that tell of the token (Core 1.0, 5.3.2)."""
    wire = Wire(userinfo=as_jwt(userinfo(exp=NOW + 9)))
    signed_in = sign_in(make(**SIGNED_USERINFO), wire)
    assert signed_in.identity.claims["name"] == "Ann"
    assert signed_in.identity.claims["exp"] == NOW + 300
    assert wire.requests[-1].headers["Accept"] == "application/jwt"


def test_signed_userinfo_by_the_secret() -> None:
    """HS256, where it is pinned, beside id tokens that the provider signs with its own key."""
    wire = Wire(userinfo=as_jwt(userinfo(HS256Key(SECRET))))
    assert sign_in(make(userinfo_signed_response_alg="HS256"), wire)


ENCRYPTED_USERINFO: dict[str, Any] = {
    **SIGNED_USERINFO,
    "decryption_key": KEY,
    "userinfo_encrypted_response_alg": "ECDH-ES",
    "userinfo_encrypted_response_enc": "A256GCM",
}


def test_encrypted_userinfo() -> None:
    """Signed and then encrypted (Core 1.0, 10.2); the id token comes as it was agreed for it."""
    wire = Wire(userinfo=as_jwt(encrypted(userinfo())))
    assert sign_in(make(**ENCRYPTED_USERINFO), wire).identity.claims["name"] == "Ann"


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        pytest.param(
            as_json({"sub": "ann"}), ProtocolViolation, "userinfo_not_signed", id="unsigned"
        ),
        pytest.param(
            as_jwt(userinfo(generate_key("ES256", kid="k1"))),
            ProtocolViolation,
            "signature_invalid",
            id="signature",
        ),
        pytest.param(
            as_jwt(userinfo(generate_key("EdDSA", kid="k1"))),
            ProtocolViolation,
            "alg_not_allowed",
            id="alg_not_pinned",
        ),
        pytest.param(
            as_jwt(userinfo(HS256Key(SECRET, kid="k1"))),
            ProtocolViolation,
            "alg_not_allowed",
            id="hmac",
        ),
        pytest.param(
            as_jwt("eyJhbGciOiJub25lIn0.e30."), ProtocolViolation, "alg_none", id="alg_none"
        ),
        pytest.param(
            as_jwt(userinfo(sub="bob")), ProtocolViolation, "userinfo_sub_mismatch", id="sub"
        ),
        pytest.param(
            as_jwt(userinfo(sub=None)), ProtocolViolation, "userinfo_sub_mismatch", id="sub_missing"
        ),
        pytest.param(as_jwt(userinfo(iss="x")), ProtocolViolation, "iss_mismatch", id="iss"),
        pytest.param(as_jwt(userinfo(aud="x")), ProtocolViolation, "aud_missing_us", id="aud"),
        pytest.param(
            as_jwt(encrypted(userinfo())), ProtocolViolation, "jwt_encrypted", id="encrypted"
        ),
        pytest.param(Response(status=401), ProviderError, "userinfo_refused", id="status_401"),
    ],
)
def test_signed_userinfo_refused(answer: Response, kind: Any, code: str) -> None:
    """Where a signature was agreed, only a good one counts."""
    assert sign_in(make(**SIGNED_USERINFO), Wire(userinfo=as_jwt(userinfo())))
    with refusal(kind, code):
        sign_in(make(**SIGNED_USERINFO), Wire(userinfo=answer))


@pytest.mark.parametrize(
    ("token", "code"),
    [
        pytest.param(userinfo(), "jwt_not_encrypted", id="not_encrypted"),
        pytest.param(encrypted('{"sub": "ann"}'), "jwe_not_nested", id="unsigned_claims"),
        pytest.param(
            encrypted(userinfo(generate_key("ES256", kid="k1"))),
            "signature_invalid",
            id="signature",
        ),
    ],
)
def test_encrypted_userinfo_refused(token: str, code: str) -> None:
    """And where encryption was agreed, only what is encrypted to us and signed by them."""
    assert sign_in(make(**ENCRYPTED_USERINFO), Wire(userinfo=as_jwt(encrypted(userinfo()))))
    with refusal(ProtocolViolation, code):
        sign_in(make(**ENCRYPTED_USERINFO), Wire(userinfo=as_jwt(token)))


def test_signed_userinfo_that_was_not_agreed() -> None:
    """Without the option a token is refused, with a word on what to do."""
    assert sign_in(make(), Wire())
    with refusal(ProtocolViolation, "userinfo_signed") as caught:
        sign_in(make(), Wire(userinfo=as_jwt(userinfo())))
    assert "userinfo_signed_response_alg" in str(caught.value)


# -- configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param(
            {"id_token_encrypted_response_alg": "ECDH-ES"}, "decryption_key_missing", id="keyless"
        ),
        pytest.param(
            {**AGREED, "decryption_key": RSA}, "decryption_key_missing", id="key_of_another_alg"
        ),
        pytest.param({**AGREED, "decryption_key": []}, "decryption_key_missing", id="no_keys"),
        pytest.param(
            {**AGREED, "decryption_key": [KEY, "text"]}, "decryption_key_invalid", id="key_text"
        ),
        pytest.param(
            {**AGREED, "decryption_key": 7}, "decryption_key_invalid", id="key_of_no_kind"
        ),
        pytest.param(
            {**AGREED, "id_token_encrypted_response_alg": "RSA1_5"}, "alg_unknown", id="rsa1_5"
        ),
        pytest.param({**AGREED, "id_token_encrypted_response_alg": "dir"}, "alg_unknown", id="dir"),
        pytest.param(
            {**AGREED, "id_token_encrypted_response_enc": "A256KW"}, "enc_unknown", id="enc"
        ),
        pytest.param(
            {"id_token_encrypted_response_enc": "A128GCM"}, "enc_without_alg", id="enc_alone"
        ),
        pytest.param(
            {"decryption_key": KEY, "userinfo_encrypted_response_alg": "ECDH-ES"},
            "userinfo_unsigned",
            id="userinfo_encrypted_but_not_signed",
        ),
        pytest.param({"userinfo_signed_response_alg": "none"}, "alg_unknown", id="userinfo_none"),
        pytest.param(
            {"userinfo_signed_response_alg": "HS256", "client_secret": None},
            "client_secret_missing",
            id="userinfo_hmac_secretless",
        ),
    ],
)
def test_configuration_refused(options: dict[str, Any], code: str) -> None:
    """What can't be is an error when it is configured."""
    assert make(**ENCRYPTED_USERINFO)
    assert make(**AGREED)
    with refusal(ConfigurationError, code):
        make(**options)


def test_key_without_a_use() -> None:
    """A key may be there before the provider is told to encrypt."""
    assert sign_in(make(decryption_key=KEY), Wire())
    assert "to-us" in repr(make(decryption_key=KEY))
