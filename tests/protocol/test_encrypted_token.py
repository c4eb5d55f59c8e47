"""Encrypted tokens: only what was agreed is opened, and only what is signed inside counts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe, jwk
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation
from clefstorm.jwe import encrypt_jwe, generate_decryption_key
from clefstorm.protocol.encrypted_token import LONGEST_JWE_HEADER, decrypt_token, is_encrypted
from clefstorm.protocol.jwt import LONGEST_TOKEN

RSA = generate_decryption_key("RSA-OAEP-256", kid="rsa")
EC = generate_decryption_key("ECDH-ES", kid="ec")
WRAPPED = generate_decryption_key("ECDH-ES+A256KW")
KEYS = (RSA, EC, WRAPPED)
SIGNED = "e30.e30.c2ln"
"""The look of a signed token; whether it is a good one is judged by who asked."""


def encrypted(key: Any = EC, content: str = SIGNED, *, enc: str = "A128GCM") -> str:
    return encrypt_jwe(content, key.to_jwk(), alg=key.alg, enc=enc)


def with_header(token: str, **changes: Any) -> str:
    """The token with other members in its header; None takes one out."""
    encoded, rest = token.split(".", 1)
    header = json.loads(base64.urlsafe_b64decode(encoded + "=="))
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    return f"{as_header(header)}.{rest}"


def as_header(header: Any) -> str:
    text = header if isinstance(header, str) else json.dumps(header)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def opened(token: str, *, alg: str = "ECDH-ES", enc: str = "A128GCM") -> str:
    return decrypt_token(token, KEYS, alg=alg, enc=enc)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
def test_opened(key: Any) -> None:
    """A nested token (RFC 7519, 5.2) gives the signed one."""
    assert opened(encrypted(key), alg=key.alg) == SIGNED


def test_is_encrypted() -> None:
    """Five parts are the mark of the compact form (RFC 7516, 7.1)."""
    assert is_encrypted(encrypted())
    assert not is_encrypted(SIGNED)


HARMLESS = {
    "no_cty": {"cty": None},
    "cty_as_media_type": {"cty": "application/JWT"},
    "cty_in_lower_case": {"cty": "jwt"},
    "typ": {"typ": "JWT"},
    "replicated_iss": {"iss": "https://id.example", "aud": "app"},
    "jku": {"jku": "https://elsewhere.example/keys"},
    "jwk": {"jwk": {"kty": "oct", "k": "AAAA"}},
}


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS)
def test_header_that_changes_nothing(changes: dict[str, Any]) -> None:
    """A header may say less or more, and no key in it is looked at."""
    header = {"alg": "ECDH-ES", "enc": "A128GCM", "cty": "JWT", "kid": "ec", **changes}
    token = jwe.encrypt_compact(
        {name: value for name, value in header.items() if value is not None},
        SIGNED,
        jwk.import_key(EC.to_jwk()),
        registry=jwe.JWERegistry(algorithms=["ECDH-ES", "A128GCM"], strict_check_header=False),
    )
    assert opened(token) == SIGNED


def test_header_is_under_the_seal() -> None:
    """What was added to it on the way breaks the token (RFC 7516, 5.1, step 14)."""
    with refusal(ProtocolViolation, "jwe_undecryptable"):
        opened(with_header(encrypted(), typ="JWT"))


REFUSED = {
    "alg_rsa1_5": ({"alg": "RSA1_5"}, "jwe_alg_not_allowed"),
    "alg_none": ({"alg": "none"}, "jwe_alg_not_allowed"),
    "alg_dir": ({"alg": "dir"}, "jwe_alg_not_allowed"),
    "alg_pbes2": (
        {"alg": "PBES2-HS256+A128KW", "p2c": 10_000_000, "p2s": "AAAA"},
        "jwe_alg_not_allowed",
    ),
    "alg_of_another_key_of_ours": ({"alg": "RSA-OAEP-256"}, "jwe_alg_not_allowed"),
    "alg_of_a_signature": ({"alg": "RS256"}, "jwe_alg_not_allowed"),
    "alg_missing": ({"alg": None}, "jwe_alg_not_allowed"),
    "alg_number": ({"alg": 1}, "header_type"),
    "enc_other": ({"enc": "A256GCM"}, "jwe_enc_not_allowed"),
    "enc_missing": ({"enc": None}, "jwe_enc_not_allowed"),
    "enc_list": ({"enc": ["A128GCM"]}, "header_type"),
    "zip": ({"zip": "DEF"}, "jwe_zip_refused"),
    "zip_null": ({"zip": False}, "jwe_zip_refused"),
    "crit": ({"crit": ["exp"]}, "crit_refused"),
    "cty_other": ({"cty": "json"}, "jwe_cty_wrong"),
    "cty_number": ({"cty": 7}, "header_type"),
    "kid_unknown": ({"kid": "another"}, "jwe_kid_unknown"),
    "kid_of_another_alg": ({"kid": "rsa"}, "jwe_kid_unknown"),
    "kid_number": ({"kid": 7}, "header_type"),
    "apu_number": ({"apu": 7}, "header_type"),
    "apv_number": ({"apv": 7}, "header_type"),
    "typ_number": ({"typ": 7}, "header_type"),
    "epk_missing": ({"epk": None}, "jwe_epk_wrong"),
    "epk_text": ({"epk": "x"}, "jwe_epk_wrong"),
    "epk_private": (
        {"epk": {"kty": "EC", "crv": "P-256", "x": "A", "y": "A", "d": "A"}},
        "jwe_epk_wrong",
    ),
    "epk_other_kind": ({"epk": {"kty": "oct", "k": "A"}}, "jwe_epk_wrong"),
    "epk_other_curve": (
        {"epk": {"kty": "EC", "crv": "secp256k1", "x": "A", "y": "A"}},
        "jwe_epk_wrong",
    ),
    "epk_half": ({"epk": {"kty": "EC", "crv": "P-256", "x": "A"}}, "jwe_epk_wrong"),
    "epk_no_point": (
        {"epk": {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}},
        "jwe_undecryptable",
    ),
    "epk_of_our_other_curve": (
        {"epk": {"kty": "EC", "crv": "P-384", "x": "AQ", "y": "AQ"}},
        "jwe_undecryptable",
    ),
    "x5c_that_fills_it": ({"x5c": ["A" * 1000]}, "jwt_too_long"),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED.values(), ids=REFUSED)
def test_header_refused(changes: dict[str, Any], code: str) -> None:
    """The header chooses nothing that was not agreed (RFC 8725, 3.1, 3.2 and 3.6)."""
    good = encrypted()
    assert opened(good) == SIGNED
    with refusal(ProtocolViolation, code):
        opened(with_header(good, **changes))


HEADERS = {
    "not_json": ("no json", "json_invalid"),
    "a_list": ("[]", "json_not_object"),
    "a_name_twice": ('{"alg":"ECDH-ES","alg":"none"}', "json_duplicate_name"),
    "deep": ('{"a":' + "[" * 60 + "]" * 60 + "}", "json_too_deep"),
}


@pytest.mark.parametrize(("header", "code"), HEADERS.values(), ids=HEADERS)
def test_header_unreadable(header: str, code: str) -> None:
    """The header is strict JSON, like all that comes from outside."""
    _, rest = encrypted().split(".", 1)
    with refusal(ProtocolViolation, code):
        opened(f"{as_header(header)}.{rest}")


def test_the_longest_header() -> None:
    """A header of so many characters is read, and one of more is not."""
    _, rest = encrypted().split(".", 1)
    with refusal(ProtocolViolation, "base64url_invalid"):
        opened(f"{'=' * LONGEST_JWE_HEADER}.{rest}")
    with refusal(ProtocolViolation, "jwt_too_long"):
        opened(f"{'=' * (LONGEST_JWE_HEADER + 1)}.{rest}")


def test_header_not_base64url() -> None:
    """And it has one spelling."""
    with refusal(ProtocolViolation, "base64url_invalid"):
        opened("=" + encrypted())


SHAPES = {
    "signed_alone": (SIGNED, "jwt_not_encrypted"),
    "nothing": ("", "jwt_not_encrypted"),
    "four_parts": ("a.b.c.d", "jwt_not_encrypted"),
    "six_parts": ("a.b.c.d.e.f", "jwt_not_encrypted"),
    "many_dots": ("." * 1000, "jwt_not_encrypted"),
    "longest": ("A" * LONGEST_TOKEN, "jwt_not_encrypted"),
    "too_long": ("A" * (LONGEST_TOKEN + 1), "jwt_too_long"),
}


@pytest.mark.parametrize(("token", "code"), SHAPES.values(), ids=SHAPES)
def test_shape_refused(token: str, code: str) -> None:
    """Where encryption was agreed, a token without it is refused (Core 1.0, 3.1.3.7, step 1)."""
    with refusal(ProtocolViolation, code):
        opened(token)


CONTENTS = {
    "claims": json.dumps({"iss": "https://id.example", "sub": "ann"}),
    "empty": "",
    "another_encrypted_one": encrypted(RSA),
    "binary": "é",
    "two_parts": "e30.e30",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_content_not_signed(content: str) -> None:
    """Anybody may encrypt to a public key: only a signature says who it was (Core 1.0, 16.14)."""
    assert opened(encrypted(content=SIGNED)) == SIGNED
    with refusal(ProtocolViolation, "jwe_not_nested"):
        opened(encrypted(content=content))


def test_rotation() -> None:
    """Each key in rotation is tried when the token names none, and the named one alone else."""
    old, new, newest = (generate_decryption_key("ECDH-ES") for _ in range(3))
    assert "kid" not in old.to_jwk()
    token = encrypted(old)
    for keys in ((new, old), (old, new), (newest, new, old), (newest, old, new)):
        assert decrypt_token(token, keys, alg="ECDH-ES", enc="A128GCM") == SIGNED
    with refusal(ProtocolViolation, "jwe_undecryptable"):
        decrypt_token(token, (new,), alg="ECDH-ES", enc="A128GCM")


def test_a_key_that_the_provider_named_itself() -> None:
    """A key without a kid is tried for a token with one: some providers make one up."""
    key = generate_decryption_key("ECDH-ES")
    named = {**key.to_jwk(), "kid": "thumbprint"}
    token = encrypt_jwe(SIGNED, named, alg="ECDH-ES", enc="A128GCM")
    assert decrypt_token(token, (EC, key), alg="ECDH-ES", enc="A128GCM") == SIGNED


def test_a_compressed_token_is_not_inflated() -> None:
    """A real bomb: a megabyte in a kilobyte is refused by its header (RFC 8725, 3.6)."""
    bomb = jwe.encrypt_compact(
        {"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF", "cty": "JWT"},
        SIGNED + "A" * 200_000,
        jwk.import_key(EC.to_jwk()),
        algorithms=["ECDH-ES", "A128GCM", "DEF"],
    )
    assert len(bomb) < 4096
    with refusal(ProtocolViolation, "jwe_zip_refused"):
        opened(bomb)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
MEMBERS = st.sampled_from(["alg", "enc", "kid", "cty", "typ", "epk", "apu", "apv", "zip", "crit"])
SEGMENT = st.text(alphabet="ABCabc019-_=. é", max_size=12)


@given(
    changes=st.dictionaries(MEMBERS, JSON, max_size=4),
    segments=st.lists(SEGMENT, min_size=4, max_size=4),
    altered=st.booleans(),
)
def test_only_errors_of_ours(changes: dict[str, Any], segments: list[str], altered: bool) -> None:
    """Whatever a header and the parts after it say, the answer is a ProtocolViolation."""
    token = with_header(encrypted(), **changes) if changes else "AA" + encrypted()
    if altered:
        token = ".".join([token.partition(".")[0], *segments])
    with pytest.raises(ProtocolViolation):
        opened(token)
