"""Keys of ours, keys of providers, and what each of them may do."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from parts.signing_keys import ALGORITHMS, HMAC_ALGORITHMS, PAIR_ALGORITHMS, signing_key

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.jws import algorithms_of, read_base64url
from clefstorm.keys import (
    EdDSAKey,
    ES256Key,
    HS256Key,
    HS384Key,
    HS512Key,
    KeyList,
    PS256Key,
    RS256Key,
    VerificationKey,
    generate_key,
)

MESSAGE = b"what is signed"
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


def public_pem(alg: str, owner: str = "provider") -> bytes:
    private = serialization.load_pem_private_key(signing_key(alg, owner=owner).to_pem(), None)
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def public_ssh(alg: str) -> bytes:
    private = serialization.load_pem_private_key(signing_key(alg).to_pem(), None)
    return private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )


def pem_of(private: Any, password: bytes | None = None) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


# -- keys of ours ---------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_what_a_key_signs_its_verification_key_verifies(alg: str) -> None:
    """A signature is good for the key, the message and the algorithm it was made with."""
    key = signing_key(alg)
    assert key.can_sign
    signature = key.sign(MESSAGE)
    verifier = VerificationKey.of(key)
    assert verifier.kid == "k1"
    assert verifier.verifies(MESSAGE, signature, alg=alg)

    assert not verifier.verifies(MESSAGE + b".", signature, alg=alg)
    assert not verifier.verifies(MESSAGE, signature[:-1] + bytes([signature[-1] ^ 1]), alg=alg)
    assert not verifier.verifies(MESSAGE, b"", alg=alg)
    stranger = VerificationKey.of(signing_key(alg, owner="stranger"))
    assert not stranger.verifies(MESSAGE, signature, alg=alg)


@pytest.mark.parametrize("alg", PAIR_ALGORITHMS)
def test_a_jwk_of_ours_is_public_and_verifies(alg: str) -> None:
    """An exported JWK says what it is for (RFC 7517, 4.2-4.5) and holds nothing private."""
    key = signing_key(alg)
    jwk = key.to_jwk()
    assert {name: jwk[name] for name in ("use", "alg", "kid")} == {
        "use": "sig",
        "alg": alg,
        "kid": "k1",
    }
    assert set(jwk) <= {"kty", "crv", "n", "e", "x", "y", "use", "alg", "kid"}
    verifier = VerificationKey.from_jwk(json.loads(json.dumps(jwk)))
    assert verifier.verifies(MESSAGE, key.sign(MESSAGE), alg=alg)
    assert "kid" not in signing_key(alg, kid=None).to_jwk()


@pytest.mark.parametrize("alg", PAIR_ALGORITHMS)
def test_a_key_survives_its_pem(alg: str) -> None:
    """A key that was kept in a file signs for those who know it from before."""
    key = signing_key(alg)
    again = type(key)(private_key=key.to_pem().decode(), kid="k2")
    assert again.can_sign
    assert VerificationKey.of(key).verifies(MESSAGE, again.sign(MESSAGE), alg=alg)


@pytest.mark.parametrize("alg", PAIR_ALGORITHMS)
def test_a_public_key_alone_verifies_and_cannot_sign(alg: str) -> None:
    """The public half serves those who only check."""
    key = signing_key(alg)
    public = type(key)(public_pem(alg))
    assert VerificationKey.of(public).verifies(MESSAGE, key.sign(MESSAGE), alg=alg)
    assert not public.can_sign
    for forbidden in (lambda: public.sign(MESSAGE), public.to_pem):
        with pytest.raises(ConfigurationError) as refusal:
            forbidden()
        assert refusal.value.code == "key_cannot_sign"


@pytest.mark.parametrize("alg", HMAC_ALGORITHMS)
def test_a_shared_secret_is_never_exported(alg: str) -> None:
    """There is no public half of a secret to publish, and no PEM form."""
    key = signing_key(alg)
    for forbidden in (key.to_jwk, key.to_pem):
        with pytest.raises(ConfigurationError) as refusal:
            forbidden()
        assert refusal.value.code == "key_secret"


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        pytest.param(HS256Key, 32, id="HS256"),
        pytest.param(HS384Key, 48, id="HS384"),
        pytest.param(HS512Key, 64, id="HS512"),
    ],
)
def test_a_short_secret_warns(kind: type[HS256Key], length: int) -> None:
    """A secret has at least the size of the hash (RFC 7518, 3.2)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind("s" * length)
    with pytest.warns(UserWarning, match=f"has {length - 1} bytes") as warned:
        key = kind("s" * (length - 1))
    assert warned[0].filename == __file__, "it points at whoever gave the secret"
    assert VerificationKey.of(key).verifies(MESSAGE, key.sign(MESSAGE), alg=key.alg)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(lambda: "", id="empty_text"),
        pytest.param(lambda: b"", id="empty_bytes"),
        pytest.param(lambda: None, id="none"),
        pytest.param(lambda: "\ud800" * 64, id="not_utf8"),
        pytest.param(lambda: 64, id="number"),
        pytest.param(lambda: public_pem("RS256"), id="public_pem"),
        pytest.param(lambda: public_pem("RS256").decode(), id="public_pem_text"),
        pytest.param(lambda: b"\n " + public_pem("RS256"), id="public_pem_in_space"),
        pytest.param(lambda: signing_key("ES256").to_pem(), id="private_pem"),
        pytest.param(lambda: public_ssh("EdDSA"), id="ssh"),
        pytest.param(lambda: public_ssh("ES256"), id="ssh_ecdsa"),
        pytest.param(lambda: json.dumps(signing_key("RS256").to_jwk()), id="jwk"),
        pytest.param(lambda: f" {json.dumps(signing_key('ES256').to_jwk())}\n", id="jwk_in_space"),
    ],
)
def test_what_is_no_secret_is_refused_as_one(secret: Callable[[], Any]) -> None:
    """A public key used as a secret would let everybody sign (RFC 8725, 2.1)."""
    for good in (
        "a secret of thirty-two characters",
        '{"kty" in braces that do not close',
        '"kty" without braces that open..}',
        "{braces without its name, closing}",
        b"\x30\x82" + bytes(range(60)),
    ):
        assert HS256Key(good).can_sign
    with pytest.raises(ConfigurationError) as refusal:
        HS256Key(secret())
    assert refusal.value.code == "key_invalid"


def pem_of_the_future() -> bytes:
    """A public key of a scheme that nobody has heard of: Ed25519's, under another number."""
    der = base64.b64decode("".join(public_pem("EdDSA").decode().splitlines()[1:-1]))
    assert b"\x2b\x65\x70" in der
    unknown = base64.encodebytes(der.replace(b"\x2b\x65\x70", b"\x2b\x65\x7f"))
    return b"-----BEGIN PUBLIC KEY-----\n" + unknown + b"-----END PUBLIC KEY-----\n"


def small_rsa() -> bytes:
    return pem_of(rsa.generate_private_key(public_exponent=65537, key_size=1024))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: RS256Key(), id="no_key_at_all"),
        pytest.param(lambda: RS256Key("garbage"), id="public_garbage"),
        pytest.param(lambda: RS256Key(private_key="garbage"), id="private_garbage"),
        pytest.param(lambda: RS256Key("gärbage"), id="not_ascii"),
        pytest.param(lambda: EdDSAKey(pem_of_the_future()), id="unsupported"),
        pytest.param(lambda: RS256Key(12), id="not_text"),
        pytest.param(lambda: RS256Key(signing_key("RS256").to_pem()), id="private_as_public"),
        pytest.param(lambda: RS256Key(private_key=public_pem("RS256")), id="public_as_private"),
        pytest.param(
            lambda: ES256Key(
                private_key=pem_of(ec.generate_private_key(ec.SECP256R1()), b"password")
            ),
            id="encrypted",
        ),
        pytest.param(lambda: RS256Key(private_key=small_rsa()), id="rsa_1024"),
        pytest.param(lambda: RS256Key(public_pem("ES256")), id="ec_for_rsa"),
        pytest.param(lambda: ES256Key(public_pem("RS256")), id="rsa_for_ec"),
        pytest.param(lambda: ES256Key(public_pem("ES384")), id="P-384_for_ES256"),
        pytest.param(
            lambda: EdDSAKey(private_key=pem_of(ed448.Ed448PrivateKey.generate())), id="Ed448"
        ),
        pytest.param(
            lambda: ES256Key(private_key=pem_of(ec.generate_private_key(ec.SECP256K1()))),
            id="secp256k1",
        ),
        pytest.param(
            lambda: PS256Key(public_pem("PS256", "stranger"), signing_key("PS256").to_pem()),
            id="two_pairs",
        ),
    ],
)
def test_a_wrong_pem_is_refused_at_once(make: Callable[[], Any]) -> None:
    """A key of the wrong kind, curve or size never comes into use (RFC 7518, 3.3-3.4)."""
    RS256Key(public_pem("RS256"), signing_key("RS256").to_pem())
    with pytest.raises(ConfigurationError) as refusal:
        make()
    assert refusal.value.code == "key_invalid"
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_a_key_list_signs_with_the_first_that_can_and_gives_all() -> None:
    """Rotation: the newest key signs, and what the older ones signed is still accepted."""
    public = ES256Key(public_pem("ES256"), kid="a")
    new, old = signing_key("RS256", kid="b"), signing_key("HS256", kid="c")
    keys = KeyList(public, new, old)
    assert list(keys) == [public, new, old]
    assert keys.signing is new
    assert repr(keys) == "KeyList(ES256Key(kid='a'), RS256Key(kid='b'), HS256Key(kid='c'))"
    with pytest.raises(ConfigurationError) as refusal:
        _ = KeyList(public).signing
    assert refusal.value.code == "key_cannot_sign"


@pytest.mark.parametrize(
    "members",
    [
        pytest.param((), id="none"),
        pytest.param(("a secret in plain sight",), id="text"),
        pytest.param((HS256Key("s" * 32), None), id="one_is_none"),
    ],
)
def test_a_key_list_holds_keys(members: tuple[Any, ...]) -> None:
    """What is no key is refused when the list is made, and never shown."""
    KeyList(signing_key("HS256"))
    with pytest.raises(ConfigurationError) as refusal:
        KeyList(*members)
    assert refusal.value.code == "key_invalid"
    assert "sight" not in str(refusal.value)


def test_a_private_key_in_the_public_place_is_told() -> None:
    """A private PEM given as the first argument is sent to the second."""
    with pytest.raises(ConfigurationError, match="give it as private_key=") as refusal:
        RS256Key(signing_key("RS256").to_pem())
    assert "BEGIN" not in str(refusal.value)
    with pytest.raises(ConfigurationError, match="is it PEM"):
        RS256Key("text")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_generate_key_makes_a_new_key_of_its_kind(alg: str) -> None:
    """Each algorithm of ours can be had for tests; RSA ones are tried once, for their price."""
    key = signing_key(alg) if alg in RSA_ALGORITHMS - {"RS256"} else generate_key(alg, kid="k1")
    assert (key.alg, key.kid, type(key).__name__) == (alg, "k1", f"{alg}Key")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert VerificationKey.of(key).verifies(MESSAGE, key.sign(MESSAGE), alg=alg)


@pytest.mark.parametrize("alg", ["none", "ES256K", "RS1", ""])
def test_generate_key_knows_no_other_algorithm(alg: str) -> None:
    """An algorithm that we don't have is a mistake of the caller's."""
    with pytest.raises(ConfigurationError) as refusal:
        generate_key(alg)
    assert refusal.value.code == "alg_unknown"
    assert set(refusal.value.evidence["expected"].split(", ")) == set(ALGORITHMS)


def test_no_repr_shows_a_key() -> None:
    """DESIGN law 4: a secret appears in no repr."""
    secret = "sesame, thirty-two characters and more"
    key = HS256Key(secret, kid="k1")
    assert repr(key) == "HS256Key(kid='k1')"
    shown = f"{key!r} {VerificationKey.of(key)!r} {KeyList(key)!r} {vars(key).keys()}"
    assert "sesame" not in shown
    assert "PRIVATE" not in repr(signing_key("RS256"))


# -- which key may do what --------------------------------------------------------------------


def good_jwk(kind: str, /, *without: str, **changes: Any) -> dict[str, Any]:
    jwk = signing_key(kind).to_jwk() | changes
    return {name: value for name, value in jwk.items() if name not in without}


@pytest.mark.parametrize(
    ("jwk", "expected"),
    [
        pytest.param(lambda: good_jwk("RS256", "alg"), RSA_ALGORITHMS, id="RSA"),
        pytest.param(lambda: good_jwk("RS256"), {"RS256"}, id="RSA_with_alg"),
        pytest.param(lambda: good_jwk("RS256", alg="PS512"), {"PS512"}, id="RSA_with_PS512"),
        pytest.param(lambda: good_jwk("ES256", "alg"), {"ES256"}, id="P-256"),
        pytest.param(lambda: good_jwk("ES384", "alg"), {"ES384"}, id="P-384"),
        pytest.param(lambda: good_jwk("ES512", "alg"), {"ES512"}, id="P-521"),
        pytest.param(lambda: good_jwk("EdDSA", "alg"), {"EdDSA", "Ed25519"}, id="Ed25519"),
        pytest.param(lambda: good_jwk("EdDSA"), {"EdDSA", "Ed25519"}, id="alg_EdDSA"),
        pytest.param(
            lambda: good_jwk("EdDSA", alg="Ed25519"), {"EdDSA", "Ed25519"}, id="alg_Ed25519"
        ),
    ],
)
def test_a_jwk_permits_what_its_type_curve_and_alg_permit(
    jwk: Callable[[], dict[str, Any]], expected: set[str]
) -> None:
    """An algorithm is used with the key type and curve it is defined for, and alg narrows that
    down (RFC 7517, 4.4; RFC 7518, 3.1). Ed25519 has two names (RFC 9864, 2.2).
    """
    assert VerificationKey.from_jwk(jwk()).algorithms == expected


def test_a_key_of_ours_permits_its_own_algorithm_only() -> None:
    """A key made for one algorithm is not used with another (RFC 8725, 3.1)."""
    for alg in ALGORITHMS:
        permitted = VerificationKey.of(signing_key(alg)).algorithms
        assert permitted == ({"EdDSA", "Ed25519"} if alg == "EdDSA" else {alg})


def test_a_key_does_not_verify_under_an_algorithm_that_it_does_not_permit() -> None:
    """One RSA pair signs with PS256; a JWK with alg RS256 must not check that."""
    signature = signing_key("PS256").sign(MESSAGE)
    assert VerificationKey.from_jwk(good_jwk("PS256")).verifies(MESSAGE, signature, alg="PS256")
    assert VerificationKey.from_jwk(good_jwk("PS256", "alg")).verifies(
        MESSAGE, signature, alg="PS256"
    )
    assert not VerificationKey.from_jwk(good_jwk("RS256")).verifies(MESSAGE, signature, alg="PS256")
    assert not VerificationKey.from_jwk(good_jwk("RS256")).verifies(MESSAGE, signature, alg="HS256")
    assert not VerificationKey.from_jwk(good_jwk("RS256")).verifies(MESSAGE, b"", alg="none")


def test_ed25519_verifies_under_both_its_names() -> None:
    """EdDSA with Ed25519 and Ed25519 are one scheme (RFC 9864, 2.2)."""
    key = signing_key("EdDSA")
    verifier = VerificationKey.from_jwk(good_jwk("EdDSA", alg="Ed25519"))
    for alg in ("EdDSA", "Ed25519"):
        assert verifier.verifies(MESSAGE, key.sign(MESSAGE), alg=alg)


def encoded(number: int, length: int | None = None) -> str:
    raw = number.to_bytes(length or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


REFUSED_JWKS = [
    pytest.param("RS256", {"kty": "oct", "k": "c2VjcmV0"}, "jwk_symmetric", id="oct"),
    pytest.param("RS256", {"kty": None}, "jwk_kind", id="kty_missing"),
    pytest.param("RS256", {"kty": "rsa"}, "jwk_kind", id="kty_in_another_case"),
    pytest.param("RS256", {"kty": ["RSA"]}, "jwk_kind", id="kty_not_text"),
    pytest.param("RS256", {"kty": "AKP"}, "jwk_kind", id="kty_unknown"),
    pytest.param("RS256", {"kid": 1}, "jwk_kid", id="kid_number"),
    pytest.param("RS256", {"kid": ["k1"]}, "jwk_kid", id="kid_list"),
    pytest.param("RS256", {"use": "enc"}, "jwk_use", id="use_enc"),
    pytest.param("RS256", {"use": ["sig"]}, "jwk_use", id="use_list"),
    pytest.param("RS256", {"key_ops": ["encrypt"]}, "jwk_key_ops", id="key_ops_encrypt"),
    pytest.param("RS256", {"key_ops": ["sign"]}, "jwk_key_ops", id="key_ops_sign"),
    pytest.param("RS256", {"key_ops": []}, "jwk_key_ops", id="key_ops_empty"),
    pytest.param("RS256", {"key_ops": "verify"}, "jwk_key_ops", id="key_ops_text"),
    pytest.param("RS256", {"key_ops": ["verify", 1]}, "jwk_key_ops", id="key_ops_number"),
    pytest.param("RS256", {"key_ops": ["verify", "verify"]}, "jwk_key_ops", id="key_ops_twice"),
    pytest.param(
        "RS256", {"key_ops": ["verify", "sign", "sign"]}, "jwk_key_ops", id="key_ops_other_twice"
    ),
    pytest.param("RS256", {"alg": "ES256"}, "jwk_alg", id="alg_of_another_type"),
    pytest.param("RS256", {"alg": "HS256"}, "jwk_alg", id="alg_hmac"),
    pytest.param("RS256", {"alg": "none"}, "jwk_alg", id="alg_none"),
    pytest.param("RS256", {"alg": "RSA-OAEP"}, "jwk_alg", id="alg_encryption"),
    pytest.param("RS256", {"alg": ["RS256"]}, "jwk_alg", id="alg_list"),
    pytest.param("RS256", {"alg": {}}, "jwk_alg", id="alg_object"),
    pytest.param("ES256", {"alg": "ES384"}, "jwk_alg", id="alg_of_another_curve"),
    pytest.param("EdDSA", {"alg": "ES256"}, "jwk_alg", id="alg_not_of_Ed25519"),
    *(
        pytest.param("RS256", {name: "AQAB"}, "jwk_private", id=f"private_rsa_{name}")
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth")
    ),
    pytest.param("ES256", {"d": "AQAB"}, "jwk_private", id="private_ec"),
    pytest.param("EdDSA", {"d": "AQAB"}, "jwk_private", id="private_okp"),
    pytest.param("RS256", {"k": "AQAB"}, "jwk_private", id="secret_in_rsa"),
    pytest.param("RS256", {"n": None}, "jwk_member", id="n_missing"),
    pytest.param("RS256", {"e": None}, "jwk_member", id="e_missing"),
    pytest.param("RS256", {"n": 12345}, "jwk_member", id="n_number"),
    pytest.param("RS256", {"e": ""}, "jwk_member", id="e_empty"),
    pytest.param("RS256", {"e": "AQAB="}, "base64url_invalid", id="e_padded"),
    pytest.param("RS256", {"e": "AQ AB"}, "base64url_invalid", id="e_with_space"),
    pytest.param("RS256", {"n": encoded((1 << 2046) + 1)}, "jwk_size", id="rsa_2047_bits"),
    pytest.param("RS256", {"n": encoded((1 << 1023) + 1)}, "jwk_size", id="rsa_1024_bits"),
    pytest.param("RS256", {"n": encoded((1 << 8192) + 1)}, "jwk_size", id="rsa_8193_bits"),
    pytest.param("RS256", {"e": encoded((1 << 64) + 1)}, "jwk_size", id="exponent_65_bits"),
    pytest.param("RS256", {"e": "AQ"}, "jwk_invalid", id="exponent_one"),
    pytest.param("RS256", {"e": "Ag"}, "jwk_invalid", id="exponent_even"),
    pytest.param("ES256", {"crv": None}, "jwk_kind", id="crv_missing"),
    pytest.param("ES256", {"crv": "P-384"}, "jwk_size", id="crv_of_another_size"),
    pytest.param("ES256", {"crv": "secp256k1"}, "jwk_kind", id="crv_secp256k1"),
    pytest.param("ES256", {"crv": ["P-256"]}, "jwk_kind", id="crv_list"),
    pytest.param("ES256", {"kty": "OKP"}, "jwk_kind", id="ec_curve_in_okp"),
    pytest.param("EdDSA", {"kty": "EC"}, "jwk_kind", id="ed25519_in_ec"),
    pytest.param("EdDSA", {"crv": "Ed448"}, "jwk_kind", id="crv_Ed448"),
    pytest.param("EdDSA", {"crv": "X25519"}, "jwk_kind", id="crv_X25519"),
    pytest.param("ES256", {"x": None}, "jwk_member", id="x_missing"),
    pytest.param("ES256", {"y": None}, "jwk_member", id="y_missing"),
    pytest.param("ES256", {"x": "AQAB"}, "jwk_size", id="x_short"),
    pytest.param("ES256", {"y": encoded(5, 33)}, "jwk_size", id="y_long"),
    pytest.param("ES256", {"y": encoded(5, 32)}, "jwk_invalid", id="point_not_on_curve"),
    pytest.param("EdDSA", {"x": None}, "jwk_member", id="okp_x_missing"),
    pytest.param("EdDSA", {"x": "AQAB"}, "jwk_invalid", id="okp_x_short"),
]


@pytest.mark.parametrize(("alg", "changes", "code"), REFUSED_JWKS)
def test_a_jwk_that_cannot_serve_is_refused(alg: str, changes: dict[str, Any], code: str) -> None:
    """A key is used as its members say and its numbers allow (RFC 7517, 4; RFC 7518, 6;
    RFC 8725, 3.4); None stands for a member that is left out.
    """
    jwk = good_jwk(alg)
    assert (
        VerificationKey.from_jwk(jwk).algorithms == VerificationKey.of(signing_key(alg)).algorithms
    )
    for name, value in changes.items():
        if value is None:
            del jwk[name]
        else:
            jwk[name] = value
    with pytest.raises(ProtocolViolation) as refusal:
        VerificationKey.from_jwk(jwk)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"key_ops": ["verify"]}, id="key_ops_beside_use"),
        pytest.param({"key_ops": ["sign", "verify"]}, id="key_ops_with_sign"),
        pytest.param({"x5c": ["not looked at"], "x5t": "x", "x5u": "https://x"}, id="x5c"),
        pytest.param({"unknown": {"member": 1}}, id="unknown_member"),
        pytest.param({"ext": True}, id="ext"),
    ],
)
def test_a_jwk_may_have_members_that_we_do_not_use(changes: dict[str, Any]) -> None:
    """Members that are not understood are ignored (RFC 7517, 4)."""
    key = VerificationKey.from_jwk(good_jwk("RS256", **changes))
    assert key.verifies(MESSAGE, signing_key("RS256").sign(MESSAGE), alg="RS256")


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param({"n": encoded((1 << 2047) + 1)}, id="modulus_of_2048_bits"),
        pytest.param({"n": encoded((1 << 8191) + 1)}, id="modulus_of_8192_bits"),
        pytest.param({"e": "Aw"}, id="exponent_three"),
        pytest.param({"e": encoded((1 << 63) + 1)}, id="exponent_of_64_bits"),
    ],
)
def test_the_smallest_and_the_largest_rsa_numbers_pass(numbers: dict[str, str]) -> None:
    """2048 bits or more (RFC 7518, 3.3), and no more than we agree to reckon with."""
    assert VerificationKey.from_jwk(good_jwk("RS256", **numbers)).algorithms == {"RS256"}


def test_a_modulus_may_begin_with_a_zero_octet() -> None:
    """Some libraries write one (RFC 7518, 6.3.1.1 knows of them); the number is the same."""
    n = read_base64url(good_jwk("RS256")["n"])
    jwk = good_jwk("RS256", n=encoded(int.from_bytes(n, "big"), len(n) + 1))
    assert VerificationKey.from_jwk(jwk).verifies(
        MESSAGE, signing_key("RS256").sign(MESSAGE), alg="RS256"
    )


def test_algorithms_of_something_else_are_none() -> None:
    """What is no public key of ours permits nothing."""
    assert algorithms_of(ed448.Ed448PrivateKey.generate().public_key()) == frozenset()
    assert algorithms_of("RS256") == frozenset()


def test_known_answers_of_the_specifications() -> None:
    """Signatures that others published are good: RFC 7515, A.3 (ES256); RFC 8037, A.4 (Ed25519)."""
    es256 = VerificationKey.from_jwk(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    )
    signed = (
        b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    signature = read_base64url(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    assert es256.verifies(signed, signature, alg="ES256")
    ed25519 = VerificationKey.from_jwk(
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    )
    signature = read_base64url(
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    signed = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    assert ed25519.verifies(signed, signature, alg="EdDSA")


# -- base64url --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", b"", id="empty"),
        pytest.param("AA", b"\0", id="one_octet"),
        pytest.param("AAE", b"\0\1", id="two_octets"),
        pytest.param("AAEC", b"\0\1\2", id="three_octets"),
        pytest.param("-_-_", b"\xfb\xff\xbf", id="url_alphabet"),
    ],
)
def test_base64url_has_one_spelling(text: str, value: bytes) -> None:
    """JOSE's base64url has no padding and uses the URL-safe alphabet (RFC 7515, 2)."""
    assert read_base64url(text) == value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("AA==", id="padded"),
        pytest.param("AAE=", id="padded_once"),
        pytest.param("AAEC====", id="padding_alone"),
        pytest.param("=", id="one_padding"),
        pytest.param("A", id="impossible_length"),
        pytest.param("AAECA", id="impossible_length_of_five"),
        pytest.param("AB", id="spare_bits_set"),
        pytest.param("AAF", id="spare_bits_set_of_two_octets"),
        pytest.param("+/+/", id="plain_base64_alphabet"),
        pytest.param(" AA", id="leading_space"),
        pytest.param("AA\n", id="trailing_newline"),
        pytest.param("A\tA", id="tab_inside"),
        pytest.param("AA.", id="dot"),
        pytest.param("A\0A", id="null"),
        pytest.param("ÄA", id="not_ascii"),
        pytest.param("\uff21A", id="full_width_letter"),
        pytest.param("\ud800A", id="half_surrogate"),
    ],
)
def test_any_other_spelling_of_base64url_is_refused(text: str) -> None:
    """No padding, white space, other character or spare bits (RFC 7515, 2; RFC 4648, 3.5)."""
    with pytest.raises(ProtocolViolation) as refusal:
        read_base64url(text)
    assert refusal.value.code == "base64url_invalid"
