"""Keys that an option describes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.keys import EdDSAKey, ES256Key, HS256Key, Key, PS256Key, RS256Key, generate_key
from clefstorm.registry import build_client

OPTIONS: dict[str, Any] = {
    "issuer": "https://id.example",
    "client_id": "app",
    "redirect_uri": "https://app.example/auth/callback",
}
SECRET = "a state key of thirty-two bytes or more"
ES256 = generate_key("ES256")
PRIVATE = ES256.to_pem().decode()
PUBLIC = (
    ES256.verifying_material()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
HS: dict[str, Any] = {"alg": "HS256", "secret": SECRET}


def keys_of(state_key: Any) -> tuple[Key, ...]:
    return build_client("default", {**OPTIONS, "state_key": state_key}).state_keys


@pytest.mark.parametrize("kind", [RS256Key, ES256Key, PS256Key, EdDSAKey])
def test_a_pair(kind: type[RS256Key]) -> None:
    """alg names the class; the private key is enough."""
    pem = generate_key(kind.alg).to_pem().decode()
    [key] = keys_of({"alg": kind.alg, "private_key": pem, "kid": "k1"})
    assert (type(key), key.kid, key.can_sign) == (kind, "k1", True)


def test_a_secret() -> None:
    """HS256 takes a secret."""
    [key] = keys_of(HS)
    assert (type(key), key.verifying_material()) == (HS256Key, SECRET.encode())


def test_rotation() -> None:
    """A list rotates; the first that can sign signs, wherever it stands."""
    public = {"alg": "ES256", "public_key": PUBLIC}
    first, second, third = keys_of([public, HS, ES256])
    assert isinstance(first, HS256Key)
    assert (second.can_sign, third) == (False, ES256)


@pytest.mark.parametrize(
    ("state_key", "code", "says"),
    [
        pytest.param({**HS, "alg": "HS257"}, "alg_unknown", "did you mean HS256", id="alg_near"),
        pytest.param({**HS, "alg": "none"}, "alg_unknown", "HS256, HS384", id="alg_none"),
        pytest.param({"secret": SECRET}, "alg_unknown", "alg", id="no_alg"),
        pytest.param({**HS, "alg": ["HS256"]}, "alg_unknown", "alg", id="alg_list"),
        pytest.param({"alg": "HS256"}, "option_missing", "secret", id="no_secret"),
        pytest.param({**HS, "secret": ""}, "option_missing", "secret", id="empty_secret"),
        pytest.param({**HS, "sceret": "x"}, "option_unknown", "did you mean secret", id="near"),
        pytest.param({**HS, "private_key": PRIVATE}, "option_unknown", "private_key", id="both"),
        pytest.param({**HS, "secret": 5}, "key_invalid", "member: secret", id="number"),
        pytest.param({**HS, "kid": 5}, "key_invalid", "member: kid", id="kid"),
        pytest.param({"alg": "HS256", "secret": PRIVATE}, "key_invalid", "PEM", id="pem_secret"),
        pytest.param(
            {"alg": "RS256", "private_key": PRIVATE}, "key_invalid", "RS256", id="wrong_kind"
        ),
        pytest.param({"alg": "ES256", "private_key": "x"}, "key_invalid", "PEM", id="no_pem"),
        pytest.param(
            {"alg": "ES256", "private_key": PUBLIC},
            "key_invalid",
            "private",
            id="public_as_private",
        ),
        pytest.param(
            {"alg": "ES256", "public_key": PUBLIC}, "state_key_invalid", "sign", id="public_alone"
        ),
        pytest.param([], "state_key_invalid", "1 to 20", id="no_keys"),
        pytest.param([HS] * 21, "state_key_invalid", "1 to 20", id="many_keys"),
        pytest.param([HS, "x"], "key_invalid", "clefstorm.keys", id="text_in_list"),
        pytest.param(5, "state_key_invalid", "clefstorm.keys", id="number_alone"),
    ],
)
def test_what_is_no_key(state_key: Any, code: str, says: str) -> None:
    """A key that can't be made is an error that names the alias and quotes no material."""
    assert keys_of(HS)
    with warnings.catch_warnings(), refusal(ConfigurationError, code) as caught:
        build_client("corp", {**OPTIONS, "state_key": state_key})
    told = str(caught.value)
    assert says in told
    assert caught.value.evidence["alias"] == "corp"
    assert "state_key" in told
    assert not any(secret in told for secret in (SECRET, PRIVATE, PUBLIC))
    assert caught.value.__cause__ is None
