"""The applications that are registered with the embedded provider, and how they prove it.

LAW: what was registered is compared as it stands, never as a pattern or a prefix.
Source: RFC 6749, section 2.3; RFC 9700, section 2.1; OpenID Connect Dynamic Client Registration
1.0, section 2, and Back-Channel Logout 1.0, section 2.2 (the parameters' names).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus, urlsplit

from clefstorm.errors import ConfigurationError, RequestRefused

AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")
SIGNING_ALGS = ("RS256", "PS256", "ES256", "EdDSA", "HS256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One registered application; ``Provider.add_client`` makes it."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = True
    clef_logout_uri: str | None = None
    token_endpoint_auth_method: str = "client_secret_basic"
    id_token_signed_response_alg: str = "RS256"
    client_name: str | None = None

    def __post_init__(self) -> None:
        for uri in (
            *self.redirect_uris,
            *self.post_logout_redirect_uris,
            *filter(None, (self.backchannel_logout_uri, self.clef_logout_uri)),
        ):
            parts = urlsplit(uri)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
                raise ConfigurationError(
                    "a client's URI is absolute, http or https, and has no fragment",
                    code="client_uri_invalid",
                    got=uri,
                )
        if self.token_endpoint_auth_method not in AUTH_METHODS:
            raise ConfigurationError(
                "token_endpoint_auth_method is not one of ours",
                code="client_auth_method_unknown",
                expected=", ".join(AUTH_METHODS),
                got=self.token_endpoint_auth_method,
            )
        if (self.token_endpoint_auth_method == "none") != (self.client_secret is None):
            raise ConfigurationError(
                "a client has a secret, or the method none", code="client_secret_and_method"
            )
        if self.id_token_signed_response_alg not in SIGNING_ALGS:
            raise ConfigurationError(
                "id_token_signed_response_alg is not one of ours",
                code="client_alg_unknown",
                expected=", ".join(SIGNING_ALGS),
                got=self.id_token_signed_response_alg,
            )
        if self.id_token_signed_response_alg == "HS256" and self.client_secret is None:
            raise ConfigurationError("HS256 needs a client_secret", code="client_alg_no_secret")

    @property
    def shown_name(self) -> str:
        """The name for people."""
        return self.client_name or self.client_id


def _refuse(why: str) -> RequestRefused:
    return RequestRefused(why, code="invalid_client")


def _read_basic(authorization: str) -> tuple[str, str]:
    """Read RFC 6749's own form of basic authentication (section 2.3.1: form-encoded first)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _refuse("the Authorization header is not Basic")
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _refuse("the Authorization header can't be read") from None
    if not colon:
        raise _refuse("the Authorization header can't be read")
    return unquote_plus(name), unquote_plus(secret)


def authenticate_client(
    clients: Mapping[str, Client],
    *,
    authorization: str | None,
    client_id: str | None,
    client_secret: str | None,
) -> Client:
    """Return the client that made this call of the token or revocation endpoint.

    ``authorization`` is the header's value, the others are form fields; None where absent.
    Raises RequestRefused: ``invalid_client``, or ``invalid_request`` for two methods at once.
    """
    if authorization is not None:
        if client_secret is not None:
            raise RequestRefused(
                "the client used two ways to prove itself at once", code="invalid_request"
            )
        method = "client_secret_basic"
        name, secret = _read_basic(authorization)
        if client_id not in (None, name):
            raise RequestRefused("client_id stands twice and differs", code="invalid_request")
    else:
        method = "none" if client_secret is None else "client_secret_post"
        name, secret = client_id or "", client_secret or ""
    client = clients.get(name)
    if client is None:
        raise _refuse("no client is registered under this client_id")
    if client.token_endpoint_auth_method != method:
        raise _refuse(f"this client is registered for {client.token_endpoint_auth_method}")
    if not hmac.compare_digest((client.client_secret or "").encode(), secret.encode()):
        raise _refuse("the client_secret is wrong")
    return client
