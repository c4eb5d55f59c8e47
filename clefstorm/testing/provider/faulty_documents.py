"""Named faults of what a provider publishes of itself: its metadata and its keys.

LAW: as faulty_tokens: one difference each from the good document.
Source: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 7517, sections 4 and 5; RFC 7518,
section 6; RFC 8414, section 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clefstorm.testing.provider.faults import Fault
from clefstorm.testing.provider.forgery import weak_jwk

Document = dict[str, Any]
Hook = Callable[[Document], Any]


def put(**members: Any) -> Hook:
    """Put these members into the document."""
    return lambda document: document.update(members)


def without(name: str) -> Hook:
    """Leave a member out."""

    def leave_out(document: Document) -> None:
        document.pop(name, None)

    return leave_out


def change(name: str, by: Callable[[Any], Any]) -> Hook:
    """Change the value of a member."""
    return lambda document: document.update({name: by(document[name])})


def faults_at(place: str, faults: Mapping[str, tuple[str, Hook]]) -> Mapping[str, Fault]:
    """Make the faults of one place."""
    return {name: Fault(says, (place,), hook) for name, (says, hook) in faults.items()}


def _keys(**members: Any) -> Hook:
    """Change every key, for any may be the one that signed."""

    def change_all(jwks: Document) -> None:
        for jwk in jwks["keys"]:
            jwk.update(members)

    return change_all


def _keys_without(name: str) -> Hook:
    def change_all(jwks: Document) -> None:
        for jwk in jwks["keys"]:
            jwk.pop(name, None)

    return change_all


def _more_keys(*more: Any) -> Hook:
    return lambda jwks: jwks["keys"].extend(more)


_STRANGE_KEYS = (
    {"kty": "AKP", "alg": "ML-DSA-99", "kid": "of-tomorrow", "pub": "AAAA"},
    {"kty": "MADE-UP", "kid": "of-nobody"},
    {"kty": "EC", "crv": "P-257", "kid": "odd-curve", "x": "AA", "y": "AA"},
    weak_jwk("weak"),
)

_JWKS: Mapping[str, tuple[str, Hook]] = {
    "keys_use_enc": ("the keys are for encryption (use)", _keys(use="enc")),
    "keys_ops_encrypt": (
        "the keys are for encryption (key_ops)",
        _keys(key_ops=["encrypt"]),
    ),
    "keys_ops_text": ("key_ops is a text", _keys(key_ops="verify")),
    "keys_alg_other": ("the keys are for another algorithm (alg)", _keys(alg="RS384")),
    "keys_alg_unfit": ("the keys' alg is of another type of key", _keys(alg="ES256")),
    "keys_kty_other": ("the keys say that they are of another type", _keys(kty="oct")),
    "keys_kid_number": ("kid is a number in the keys", _keys(kid=1)),
    "keys_private": ("the keys' private part is published", _keys(d="AQAB")),
    "keys_without_n": ("the keys lack their modulus or point", _keys(n="", x="")),
    "keys_exponent_one": ("the keys' exponent is 1", _keys(e="AQ")),
    "keys_off_curve": ("the keys' point is not on the curve", _keys(y="A" * 43)),
    "keys_short_coordinate": ("a coordinate is too short", _keys(x="AQAB")),
    "keys_curve_other": ("the keys say another curve", _keys(crv="P-384")),
    "keys_without_kid": ("the keys have no kid", _keys_without("kid")),
    "keys_without_alg": ("the keys have no alg", _keys_without("alg")),
    "keys_without_use": ("the keys have no use", _keys_without("use")),
    "keys_strange_too": (
        "there are also keys of kinds that nobody knows",
        _more_keys(*_STRANGE_KEYS),
    ),
    "keys_not_objects": ("the keys are texts", put(keys=["a key"])),
    "keys_none": ("there are no keys", put(keys=[])),
    "keys_missing": ("the document has no member keys", without("keys")),
    "keys_object": ("keys is an object", put(keys={})),
    "keys_many": ("there are 101 keys", change("keys", lambda keys: keys * 101)),
}

_DISCOVERY: Mapping[str, tuple[str, Hook]] = {
    "issuer_other": ("issuer is another one", put(issuer="https://evil.example")),
    "issuer_missing": ("there is no issuer", without("issuer")),
    "issuer_slash": ("issuer has one more slash", change("issuer", lambda v: v + "/")),
    "issuer_upper": ("issuer is written in capitals", change("issuer", str.upper)),
    "issuer_number": ("issuer is a number", put(issuer=1)),
    "authorization_endpoint_missing": (
        "there is no authorization_endpoint",
        without("authorization_endpoint"),
    ),
    "token_endpoint_missing": ("there is no token_endpoint", without("token_endpoint")),
    "jwks_uri_missing": ("there is no jwks_uri", without("jwks_uri")),
    "algs_missing": (
        "no algorithm is announced",
        without("id_token_signing_alg_values_supported"),
    ),
    "algs_none_alone": (
        "the one algorithm announced is none",
        put(id_token_signing_alg_values_supported=["none"]),
    ),
    "algs_other": (
        "the one algorithm announced is another",
        put(id_token_signing_alg_values_supported=["ES384"]),
    ),
    "algs_text": (
        "the algorithms are a text",
        put(id_token_signing_alg_values_supported="RS256"),
    ),
    "algs_hs256_too": (
        "HS256 and none are announced too",
        change("id_token_signing_alg_values_supported", lambda v: [*v, "HS256", "none"]),
    ),
    "methods_unknown": (
        "no method of client authentication of ours is announced",
        put(token_endpoint_auth_methods_supported=["tls_client_auth"]),
    ),
    "iss_parameter_text": (
        "authorization_response_iss_parameter_supported is a text",
        put(authorization_response_iss_parameter_supported="yes"),
    ),
    "members_unknown": ("there are members that nobody knows", put(x={"y": [1]}, z=None)),
    **{
        f"{name}_http": (
            f"{name} is plain http to another machine",
            put(**{name: "http://id.example.com/x"}),
        )
        for name in (
            *("authorization_endpoint", "token_endpoint", "jwks_uri"),
            *("userinfo_endpoint", "end_session_endpoint", "revocation_endpoint"),
        )
    },
    "token_endpoint_relative": ("token_endpoint is no full URL", put(token_endpoint="/token")),
    "token_endpoint_script": (
        "token_endpoint is javascript:",
        put(token_endpoint="javascript:alert(1)"),
    ),
    "token_endpoint_userinfo": (
        "token_endpoint hides its host behind an @",
        put(token_endpoint="https://id.example.com@evil.example/"),
    ),
    "token_endpoint_fragment": (
        "token_endpoint has a fragment",
        put(token_endpoint="https://id.example.com/token#x"),
    ),
    "token_endpoint_number": ("token_endpoint is a number", put(token_endpoint=1)),
}

DOCUMENT_FAULTS: Mapping[str, Fault] = {
    **faults_at("discovery", _DISCOVERY),
    **faults_at("jwks", _JWKS),
}
