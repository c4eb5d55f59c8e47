"""The key to which a provider encrypts, as an option describes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.jwe import DecryptionKey, generate_decryption_key
from clefstorm.registry import async_connections, build_client, configure_from_file

RSA = generate_decryption_key("RSA-OAEP-256")
PEM = RSA.to_pem().decode()
EC = generate_decryption_key("ECDH-ES").to_pem().decode()
OPTIONS: dict[str, Any] = {
    "issuer": "https://id.example",
    "client_id": "app",
    "redirect_uri": "https://app.example/auth/callback",
    "id_token_encrypted_response_alg": "RSA-OAEP-256",
}
DESCRIBED: dict[str, Any] = {"alg": "RSA-OAEP-256", "private_key": PEM}


def keys_of(decryption_key: Any) -> list[DecryptionKey]:
    provider = build_client("default", {**OPTIONS, "decryption_key": decryption_key}).provider
    held = provider.decryption_key
    return list(held) if isinstance(held, list) else [held]


def test_a_key() -> None:
    """alg and private_key make one; kid is the name that the provider gives it, None for none."""
    [key] = keys_of(DESCRIBED)
    assert (key.alg, key.kid, key.to_jwk()) == ("RSA-OAEP-256", None, RSA.to_jwk())
    assert keys_of({**DESCRIBED, "kid": "enc-1"})[0].kid == "enc-1"


def test_rotation() -> None:
    """A list has the new one and the old one, described or made."""
    keys = keys_of([{**DESCRIBED, "kid": "new"}, RSA])
    assert ([key.kid for key in keys], keys[1]) == (["new", None], RSA)


@pytest.mark.parametrize("form", ["{}", "[{}, {}]"], ids=["one", "list"])
def test_in_toml(write: Callable[..., Path], form: str) -> None:
    """In TOML too, with the key in a file of its own."""
    write("key.pem", PEM)
    key = '{ alg = "RSA-OAEP-256", private_key = { file = "key.pem" } }'
    lines = [f'{name} = "{value}"' for name, value in OPTIONS.items()]
    lines.append(f"decryption_key = {form.replace('{}', key)}")
    configure_from_file(write("clefstorm.toml", "\n".join(["[default]", *lines]), mode=0o644))
    held = async_connections["default"].provider.decryption_key
    assert len(held if isinstance(held, list) else [held]) == (2 if form[0] == "[" else 1)


@pytest.mark.parametrize(
    ("decryption_key", "code", "says"),
    [
        pytest.param({**DESCRIBED, "alg": "RSA-OAEP"}, "alg_unknown", "RSA-OAEP-256?", id="near"),
        pytest.param({**DESCRIBED, "alg": "HS256"}, "alg_unknown", "ECDH-ES", id="signing_alg"),
        pytest.param({"private_key": PEM}, "alg_unknown", "alg", id="no_alg"),
        pytest.param({"alg": "ECDH-ES"}, "option_missing", "private_key", id="no_key"),
        pytest.param({**DESCRIBED, "secret": PEM}, "option_unknown", "secret", id="secret"),
        pytest.param({**DESCRIBED, "public_key": PEM}, "option_unknown", "public", id="public"),
        pytest.param({**DESCRIBED, "kid": 5}, "key_invalid", "member: kid", id="kid"),
        pytest.param({**DESCRIBED, "private_key": EC}, "key_invalid", "RSA key", id="wrong_kind"),
        pytest.param([], "decryption_key_invalid", "1 to 20", id="none_in_list"),
        pytest.param([DESCRIBED] * 21, "decryption_key_invalid", "1 to 20", id="many"),
        pytest.param([DESCRIBED, 5], "decryption_key_invalid", "DecryptionKey", id="number"),
        pytest.param(5, "decryption_key_invalid", "DecryptionKey", id="number_alone"),
    ],
)
def test_what_is_no_key(decryption_key: Any, code: str, says: str) -> None:
    """A key that can't be made is an error that names the alias and quotes no material."""
    assert keys_of(DESCRIBED)
    with refusal(ConfigurationError, code) as caught:
        build_client("corp", {**OPTIONS, "decryption_key": decryption_key})
    told = str(caught.value)
    assert says in told
    assert caught.value.evidence["alias"] == "corp"
    assert "decryption_key" in told
    assert PEM not in told
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_joserfc_is_for_whoever_decrypts() -> None:
    """An alias without encryption is configured without joserfc."""
    given = {name: OPTIONS[name] for name in ("issuer", "client_id", "redirect_uri")}
    program = (
        "import sys, clefstorm\n"
        f"clefstorm.configure(default={given!r})\n"
        "sys.exit('joserfc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
