"""Keys that open what was encrypted to us, each refusal beside what works."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.jwe import (
    ALGORITHMS,
    ENCRYPTIONS,
    DecryptionKey,
    encrypt_jwe,
    generate_decryption_key,
)

KEYS = {alg: generate_decryption_key(alg, kid=alg) for alg in ALGORITHMS}
RSA = KEYS["RSA-OAEP-256"].to_pem()
EC = KEYS["ECDH-ES"].to_pem()


def pem(key: Any, *, password: bytes | None = None) -> bytes:
    encryption: Any = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def public_pem(private: bytes) -> bytes:
    key = serialization.load_pem_private_key(private, password=None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("enc", ENCRYPTIONS)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_opens(alg: str, enc: str) -> None:
    """Each algorithm with each content encryption (RFC 7518, 4.1 and 5.1)."""
    token = encrypt_jwe("to you alone", KEYS[alg].to_jwk(), alg=alg, enc=enc)
    assert KEYS[alg].decrypt(token, enc=enc) == b"to you alone"


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name
)
def test_curves(curve: ec.EllipticCurve) -> None:
    """The three curves of RFC 7518, 6.2.1.1."""
    key = DecryptionKey(pem(ec.generate_private_key(curve)), alg="ECDH-ES")
    token = encrypt_jwe("hello", key.to_jwk(), alg="ECDH-ES", enc="A128GCM")
    assert key.decrypt(token, enc="A128GCM") == b"hello"


def test_text_or_bytes() -> None:
    """PEM comes as either."""
    assert (
        DecryptionKey(EC.decode(), alg="ECDH-ES").to_jwk()
        == DecryptionKey(EC, alg="ECDH-ES").to_jwk()
    )


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_public_jwk(alg: str) -> None:
    """What is published says what it is for, and has no private member (RFC 7517, 4)."""
    jwk = KEYS[alg].to_jwk()
    assert (jwk["use"], jwk["alg"], jwk["kid"]) == ("enc", alg, alg)
    numbers = {"n", "e"} if alg.startswith("RSA") else {"crv", "x", "y"}
    assert set(jwk) == {"kty", "use", "alg", "kid", *numbers}
    assert "kid" not in DecryptionKey(EC, alg="ECDH-ES").to_jwk()


def test_repr_shows_no_material() -> None:
    """A key that is printed tells its name."""
    assert repr(KEYS["ECDH-ES"]) == "DecryptionKey(alg='ECDH-ES', kid='ECDH-ES')"


@pytest.mark.parametrize(
    "alg",
    [
        pytest.param("RSA1_5", id="rsa1_5"),
        pytest.param("RSA-OAEP", id="sha_1"),
        pytest.param("PBES2-HS256+A128KW", id="pbes2"),
        pytest.param("dir", id="dir"),
        pytest.param("A256GCMKW", id="shared_secret"),
        pytest.param("none", id="none"),
        pytest.param("RS256", id="a_signature"),
        pytest.param("", id="empty"),
    ],
)
def test_algorithm_refused(alg: str) -> None:
    """The algorithms whose failures tell, that take a password, or a shared secret (RFC 8725)."""
    assert DecryptionKey(RSA, alg="RSA-OAEP-256")
    with refusal(ConfigurationError, "alg_unknown"):
        DecryptionKey(RSA, alg=alg)
    with refusal(ConfigurationError, "alg_unknown"):
        generate_decryption_key(alg)


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        pytest.param(EC, "RSA-OAEP-256", id="ec_for_rsa"),
        pytest.param(RSA, "ECDH-ES", id="rsa_for_ec"),
        pytest.param(public_pem(RSA), "RSA-OAEP-256", id="public_rsa"),
        pytest.param(public_pem(EC), "ECDH-ES", id="public_ec"),
        pytest.param(pem(rsa.generate_private_key(65537, 1024)), "RSA-OAEP-256", id="rsa_small"),
        pytest.param(pem(ec.generate_private_key(ec.SECP256K1())), "ECDH-ES", id="other_curve"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), "ECDH-ES", id="ed25519"),
        pytest.param(
            pem(ec.generate_private_key(ec.SECP256R1()), password=b"pw"), "ECDH-ES", id="locked"
        ),
        pytest.param(b"", "ECDH-ES", id="empty"),
        pytest.param("é", "ECDH-ES", id="beyond_ascii"),
        pytest.param('{"kty": "EC"}', "ECDH-ES", id="a_jwk"),
        pytest.param("-----BEGIN PRIVATE KEY-----\nA\n", "ECDH-ES", id="broken"),
        pytest.param(None, "ECDH-ES", id="nothing"),
        pytest.param("a secret text", "RSA-OAEP-256", id="a_secret"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_key_refused(key: Any, alg: str) -> None:
    """A key that can't serve is refused when it is made, and its text is in no error."""
    assert DecryptionKey(RSA if alg.startswith("RSA") else EC, alg=alg)
    with refusal(ConfigurationError, "key_invalid") as caught:
        DecryptionKey(key, alg=alg)
    assert "secret text" not in str(caught.value)
    assert caught.value.__cause__ is None


def _changed(token: str, part: int) -> str:
    parts = token.split(".")
    flipped = "A" if parts[part][0] != "A" else "B"
    parts[part] = flipped + parts[part][1:]
    return ".".join(parts)


@pytest.mark.parametrize("part", range(1, 5), ids=["key", "iv", "ciphertext", "tag"])
@pytest.mark.parametrize("alg", ["RSA-OAEP-256", "ECDH-ES+A128KW"])
def test_altered(alg: str, part: int) -> None:
    """Whichever part was altered, the answer is the same word (RFC 7516, 11.5)."""
    token = encrypt_jwe("hello", KEYS[alg].to_jwk(), alg=alg, enc="A128CBC-HS256")
    assert KEYS[alg].decrypt(token, enc="A128CBC-HS256") == b"hello"
    with refusal(ProtocolViolation, "jwe_undecryptable") as caught:
        KEYS[alg].decrypt(_changed(token, part), enc="A128CBC-HS256")
    assert str(caught.value) == "the token is not encrypted to us [jwe_undecryptable]"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_for_somebody_else(alg: str) -> None:
    """What is encrypted to another key stays closed."""
    token = encrypt_jwe("hello", generate_decryption_key(alg).to_jwk(), alg=alg, enc="A256GCM")
    with refusal(ProtocolViolation, "jwe_undecryptable"):
        KEYS[alg].decrypt(token, enc="A256GCM")


def test_encrypting_to_no_key() -> None:
    """The other end is told when its JWK can't be encrypted to."""
    with refusal(ConfigurationError, "key_invalid"):
        encrypt_jwe("x", {"kty": "EC"}, alg="ECDH-ES", enc="A128GCM")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without joserfc the error names what to install."""
    monkeypatch.setitem(sys.modules, "joserfc", None)
    for make in (
        lambda: DecryptionKey(EC, alg="ECDH-ES"),
        lambda: generate_decryption_key("ECDH-ES"),
        lambda: encrypt_jwe("x", {}, alg="ECDH-ES", enc="A128GCM"),
    ):
        with refusal(ConfigurationError, "extra_missing") as caught:
            make()
        assert "clefstorm[jwe]" in str(caught.value)
