"""Client assertions: what they say, and that no two are the same."""

from __future__ import annotations

import json

import jwt
import pytest

from clefstorm.jws import read_base64url
from clefstorm.keys import HS256Key, Key, generate_key
from clefstorm.protocol.client_assertion import ASSERTION_LIFETIME, build_client_assertion

NOW = 1_700_000_000.9
ISSUER = "https://id.example"
ES256 = generate_key("ES256", kid="k1")


def parts(assertion: str) -> tuple[dict[str, object], dict[str, object]]:
    header, claims, _ = assertion.split(".")
    return json.loads(read_base64url(header)), json.loads(read_base64url(claims))


def test_claims() -> None:
    """iss and sub are the client_id, aud the one audience as a text, and it lives for a minute
    (RFC 7523, 3; draft-ietf-oauth-rfc7523bis, 4).
    """
    header, claims = parts(build_client_assertion(ES256, client_id="app", audience=ISSUER, now=NOW))
    jti = claims.pop("jti")
    assert isinstance(jti, str)
    assert len(jti) >= 32
    assert claims == {
        "iss": "app",
        "sub": "app",
        "aud": ISSUER,
        "iat": int(NOW),
        "exp": int(NOW) + ASSERTION_LIFETIME,
    }
    assert ASSERTION_LIFETIME == 60
    assert header == {"alg": "ES256", "typ": "client-authentication+jwt", "kid": "k1"}


def test_never_twice() -> None:
    """Two assertions of one second differ in their jti (RFC 7523, 3, point 7)."""
    made = {
        str(
            parts(build_client_assertion(ES256, client_id="app", audience=ISSUER, now=NOW))[1][
                "jti"
            ]
        )
        for _ in range(100)
    }
    assert len(made) == 100


@pytest.mark.parametrize("key", [ES256, HS256Key("s" * 32)], ids=lambda key: key.alg)
def test_another_library_believes_it(key: Key) -> None:
    """Signed so that somebody else's verifier takes it, for this audience and no other."""
    assertion = build_client_assertion(key, client_id="app", audience=ISSUER, now=NOW)
    checks = {"verify_exp": False, "verify_iat": False}
    material = key.verifying_material()
    good = jwt.decode(assertion, material, [key.alg], audience=ISSUER, options=checks)
    assert good["sub"] == "app"
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(assertion, material, [key.alg], audience="https://b.example", options=checks)
