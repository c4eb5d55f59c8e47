"""The applications that are registered with the embedded provider.

LAW: what was registered is compared as it stands, never as a pattern or a prefix.
Source: RFC 9700, section 2.1; OpenID Connect Dynamic Client Registration 1.0, section 2,
Back-Channel Logout 1.0, section 2.2, and RFC 9126, section 6 (the parameters' names).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict
from urllib.parse import urlsplit

from clefstorm.errors import ConfigurationError
from clefstorm.jwe import ALGORITHMS, ENCRYPTIONS
from clefstorm.protocol.client_auth import METHODS

ACCESS_TOKEN_FORMATS = ("opaque", "jwt")
SIGNING_ALGS = ("RS256", "PS256", "ES256", "EdDSA", "HS256")


class Registration(TypedDict, total=False):
    """What else an application may be registered with; None or absent means nothing of it.

    ``jwks`` holds its public keys: to check its assertions, and to encrypt to.
    ``frontchannel_logout_uri`` is framed at a logout, with iss and sid unless
    ``frontchannel_logout_session_required`` is False.
    """

    frontchannel_logout_uri: str | None
    frontchannel_logout_session_required: bool
    jwks: Mapping[str, Any] | None
    token_endpoint_auth_signing_alg: str | None
    require_pushed_authorization_requests: bool
    id_token_encrypted_response_alg: str | None
    id_token_encrypted_response_enc: str | None
    userinfo_signed_response_alg: str | None
    userinfo_encrypted_response_alg: str | None
    userinfo_encrypted_response_enc: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One registered application; ``Provider.add_client`` makes it."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    backchannel_logout_session_required: bool = True
    frontchannel_logout_uri: str | None = None
    frontchannel_logout_session_required: bool = True
    clef_logout_uri: str | None = None
    token_endpoint_auth_method: str = "client_secret_basic"
    id_token_signed_response_alg: str = "RS256"
    client_name: str | None = None
    api_scopes: tuple[str, ...] = ()
    access_token_audience: str | None = None
    access_token_format: str = "opaque"
    jwks: Mapping[str, Any] | None = None
    token_endpoint_auth_signing_alg: str | None = None
    require_pushed_authorization_requests: bool = False
    id_token_encrypted_response_alg: str | None = None
    id_token_encrypted_response_enc: str | None = None
    userinfo_signed_response_alg: str | None = None
    userinfo_encrypted_response_alg: str | None = None
    userinfo_encrypted_response_enc: str | None = None

    def __post_init__(self) -> None:
        for uri in (
            *self.redirect_uris,
            *self.post_logout_redirect_uris,
            *filter(None, (self.backchannel_logout_uri, self.frontchannel_logout_uri)),
            *filter(None, (self.clef_logout_uri,)),
        ):
            parts = urlsplit(uri)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
                raise ConfigurationError(
                    "a client's URI is absolute, http or https, and has no fragment",
                    code="client_uri_invalid",
                    got=uri,
                )
        if self.token_endpoint_auth_method not in METHODS:
            raise ConfigurationError(
                "token_endpoint_auth_method is not one of ours",
                code="client_auth_method_unknown",
                expected=", ".join(METHODS),
                got=self.token_endpoint_auth_method,
            )
        if self.token_endpoint_auth_method == "private_key_jwt":
            if self.jwks is None:
                raise ConfigurationError(
                    "private_key_jwt needs the client's jwks", code="client_jwks_missing"
                )
        elif (self.token_endpoint_auth_method == "none") != (self.client_secret is None):
            raise ConfigurationError(
                "a client has a secret, or the method none", code="client_secret_and_method"
            )
        signed_by = (self.id_token_signed_response_alg, self.userinfo_signed_response_alg)
        _check_one_of("id_token_signed_response_alg", signed_by[0], SIGNING_ALGS)
        _check_one_of("userinfo_signed_response_alg", signed_by[1], (None, *SIGNING_ALGS))
        if "HS256" in signed_by and self.client_secret is None:
            raise ConfigurationError("HS256 needs a client_secret", code="client_alg_no_secret")
        for kind in ("id_token", "userinfo"):
            for name, ours in (("alg", ALGORITHMS), ("enc", ENCRYPTIONS)):
                member = f"{kind}_encrypted_response_{name}"
                _check_one_of(member, getattr(self, member), (None, *ours))
        if self.access_token_format not in ACCESS_TOKEN_FORMATS or (
            self.access_token_format == "jwt"
            and (self.access_token_audience is None or self.id_token_signed_response_alg == "HS256")
        ):
            raise ConfigurationError(
                "access_token_format is jwt, for an access_token_audience and signed with a pair "
                "of keys, or opaque",
                code="client_access_token_format",
                got=self.access_token_format,
            )

    @property
    def shown_name(self) -> str:
        """The name for people."""
        return self.client_name or self.client_id


def _check_one_of(member: str, value: str | None, ours: tuple[str | None, ...]) -> None:
    if value not in ours:
        raise ConfigurationError(
            f"{member} is not one of ours",
            code="client_alg_unknown",
            expected=", ".join(filter(None, ours)),
            got=value,
        )
