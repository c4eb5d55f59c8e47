"""How the relying party shows the provider's endpoints who it is.

LAW: a client secret and an assertion go into a request to the provider's own endpoint and
nowhere else; an assertion for the token endpoint never leaves that endpoint's origin.
Source: RFC 6749, section 2.3.1; RFC 7523, section 2.2; OpenID Connect Core 1.0, section 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlsplit

from clefstorm.errors import ConfigurationError
from clefstorm.keys import HS256Key, HS384Key, HS512Key, Key, KeyList
from clefstorm.protocol.authorization_header import build_basic, is_credential
from clefstorm.protocol.client_assertion import (
    ASSERTION_TYP,
    ASSERTION_TYPE,
    build_client_assertion,
)
from clefstorm.protocol.form_request import Authentication as Authentication
from clefstorm.protocol.jwt import ASYMMETRIC
from clefstorm.protocol.metadata import ProviderMetadata

METHODS = (
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "none",
)
_BY_SECRET = METHODS[:3]
_BY_ASSERTION = METHODS[2:4]
_HMAC_METHOD = "client_secret_jwt"

AUDIENCES = ("issuer", "token_endpoint")
"""Whom an assertion may name as its audience; the first is what the specification wants."""

_HMAC_KEYS = {"HS256": HS256Key, "HS384": HS384Key, "HS512": HS512Key}


def choose_method(
    configured: str | None,
    *,
    supported: Sequence[str],
    client_secret: str | None,
    client_key: Key | KeyList | None = None,
) -> str:
    """Return the token_endpoint_auth_method to use.

    The configured one wins. A ``client_key`` means private_key_jwt, whatever else there is;
    without it and without a secret it is ``none``; else the first that uses the secret and that
    the provider supports, where an empty ``supported`` means client_secret_basic (Discovery 1.0,
    section 3). Raises ConfigurationError when nothing fits, and for an assertion that the
    provider, naming what it supports, does not name.
    """
    if configured is not None and configured not in METHODS:
        raise ConfigurationError(
            "this token_endpoint_auth_method is not one of ours; with a client_secret take one "
            "of the first three",
            code="auth_method_unknown",
            expected=" or ".join(METHODS),
            got=configured,
        )
    if configured in _BY_SECRET and client_secret is None:
        raise ConfigurationError(
            "this token_endpoint_auth_method needs a client_secret",
            code="client_secret_missing",
            got=configured,
        )
    if configured == "private_key_jwt" and client_key is None:
        raise ConfigurationError(
            "private_key_jwt needs a client_key of clefstorm.keys, one that can sign",
            code="client_key_missing",
        )
    if client_key is not None and configured not in (None, "private_key_jwt"):
        raise ConfigurationError(
            "a client_key is for private_key_jwt; leave one of the two out",
            code="client_key_unused",
            got=configured,
        )
    method = configured or ("private_key_jwt" if client_key is not None else None)
    if method is not None:
        if method in _BY_ASSERTION and supported and method not in supported:
            raise _unsupported((method,), supported)
        return method
    if client_secret is None:
        return "none"
    for method in _BY_SECRET:
        if method in (supported or ("client_secret_basic",)):
            return method
    raise _unsupported(_BY_SECRET, supported)


def _unsupported(wanted: Sequence[str], supported: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        "the provider announces no way of client authentication that this configuration has",
        code="auth_method_unsupported",
        expected=" or ".join(wanted),
        got=", ".join(supported),
    )


def client_authentication(
    method: str, *, client_id: str, client_secret: str | None
) -> Authentication:
    """Return what authenticates a client by its secret, or names a public one."""
    if method == "client_secret_basic" and client_secret is not None:
        # Both parts are form-encoded first, so that a colon in them is not taken for ours.
        basic = build_basic(quote_plus(client_id), quote_plus(client_secret))
        return {"Authorization": basic}, {}
    if method == "client_secret_post" and client_secret is not None:
        return {}, {"client_id": client_id, "client_secret": client_secret}
    return {}, {"client_id": client_id}


def _check_credential(name: str, value: object) -> None:
    """A secret read from a file often brings its newline along, and an unset variable is ''."""
    if not is_credential(value) or value != value.strip():
        raise ConfigurationError(
            f"{name} is a text, not empty and with no white space around it",
            code=f"{name}_invalid",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthenticator:
    """One client's way to authenticate, judged as far as it can be without the provider.

    ``method`` None chooses (see ``choose_method``). ``client_key`` signs for private_key_jwt, of
    a KeyList the first that can; client_secret_jwt signs with the secret under ``signing_alg``,
    None meaning HS256. ``audience`` is one of AUDIENCES. Raises ConfigurationError.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    client_key: Key | KeyList | None = None
    method: str | None = None
    signing_alg: str | None = None
    audience: str = AUDIENCES[0]
    _signing: Key | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        _check_credential("client_id", self.client_id)
        if self.client_secret is not None:
            _check_credential("client_secret", self.client_secret)
        key = self.client_key
        if key is not None and not isinstance(key, Key | KeyList):
            raise ConfigurationError(
                "client_key is a key of clefstorm.keys, or a KeyList of them",
                code="client_key_invalid",
                got=type(key).__name__,
            )
        if self.audience not in AUDIENCES:
            raise ConfigurationError(
                "client_assertion_audience is whom the assertion names",
                code="client_assertion_audience_invalid",
                expected=" or ".join(AUDIENCES),
                got=self.audience,
            )
        method = choose_method(
            self.method, supported=(), client_secret=self.client_secret, client_key=key
        )
        if method == "private_key_jwt" and key is not None:
            signing = key.signing if isinstance(key, KeyList) else key
            if not signing.can_sign or signing.alg not in ASYMMETRIC:
                raise ConfigurationError(
                    "client_key has to sign, and with a private key, not with a shared secret",
                    code="client_key_invalid",
                    got=signing.alg,
                )
            if self.signing_alg not in (None, *_names_of(signing.alg)):
                raise self._wrong_alg(_names_of(signing.alg))
            object.__setattr__(self, "_signing", signing)
        elif self.client_secret is not None and (method == _HMAC_METHOD or self.signing_alg):
            if self.signing_alg not in (None, *_HMAC_KEYS):
                raise self._wrong_alg(tuple(_HMAC_KEYS))
            # Made now, so that a secret too short for it is told of at the start.
            kind = _HMAC_KEYS[self.signing_alg or "HS256"]
            object.__setattr__(self, "_signing", kind(self.client_secret))
        elif self.signing_alg is not None:
            raise self._wrong_alg(("no algorithm without a key or a secret",))

    def _wrong_alg(self, expected: Sequence[str]) -> ConfigurationError:
        return ConfigurationError(
            "token_endpoint_auth_signing_alg is that of the client's key",
            code="client_alg_invalid",
            expected=", ".join(expected),
            got=self.signing_alg,
        )

    def check(self, metadata: ProviderMetadata) -> str:
        """Return the method for this provider. Raises ConfigurationError when none fits."""
        method = choose_method(
            self.method,
            supported=metadata.token_endpoint_auth_methods_supported,
            client_secret=self.client_secret,
            client_key=self.client_key,
        )
        if method not in _BY_ASSERTION:
            return method
        if self.audience == "issuer" and not metadata.issuer:
            raise ConfigurationError(
                "an assertion names the issuer: configure it, or client_assertion_audience",
                code="issuer_missing",
            )
        self._alg_for(metadata)
        return method

    def _alg_for(self, metadata: ProviderMetadata) -> str:
        """The name of our algorithm that this provider knows."""
        announced = metadata.token_endpoint_auth_signing_alg_values_supported
        names = _names_of("HS256" if self._signing is None else self._signing.alg)
        wanted = names if self.signing_alg is None else (self.signing_alg,)
        for name in wanted:
            if name in (announced or wanted):
                return name
        raise ConfigurationError(
            "the provider announces that it takes no assertion signed so",
            code="client_alg_unsupported",
            expected=", ".join(announced),
            got=" or ".join(wanted),
        )

    def authenticate(self, metadata: ProviderMetadata, endpoint: str, now: float) -> Authentication:
        """Return what authenticates the client at this endpoint, in one request made now.

        Raises ConfigurationError as ``check`` does, and for an assertion that would leave the
        origin of the token endpoint that it names.
        """
        method = self.check(metadata)
        if method not in _BY_ASSERTION:
            return client_authentication(
                method, client_id=self.client_id, client_secret=self.client_secret
            )
        audience, typ = metadata.issuer, ASSERTION_TYP
        if self.audience != "issuer":
            _check_same_origin(endpoint, metadata.token_endpoint)
            # Those who want the old audience do not all know the new typ.
            audience, typ = metadata.token_endpoint, "JWT"
        assertion = build_client_assertion(
            self._signing or HS256Key(self.client_secret or ""),
            client_id=self.client_id,
            audience=audience,
            now=now,
            typ=typ,
            alg=self._alg_for(metadata),
        )
        return {}, {
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }


def _names_of(alg: str) -> tuple[str, ...]:
    """One scheme has two names, of which some providers know one alone (RFC 9864, 2.2)."""
    return ("EdDSA", "Ed25519") if alg == "EdDSA" else (alg,)


def _check_same_origin(endpoint: str, token_endpoint: str) -> None:
    """Else a provider could name another's token endpoint and be sent what is good there."""
    here, there = urlsplit(endpoint), urlsplit(token_endpoint)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise ConfigurationError(
            "an assertion for the token endpoint is not sent to another origin; take the issuer "
            "as its audience",
            code="client_assertion_origin",
            expected=f"{there.scheme}://{there.netloc}",
            got=f"{here.scheme}://{here.netloc}",
        )
