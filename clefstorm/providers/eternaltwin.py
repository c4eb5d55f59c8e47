"""Eternaltwin as one more kind of provider: its users sign in like anybody's.

There is no id token and no metadata: the endpoints are joined to the configured address from the
host's root, and the API's answer to the fresh token names the user. A PKCE challenge goes along:
a server that does not know it must ignore it (RFC 6749, sections 3.1 and 3.2), and one that
learns it protects our codes from that day.
LAW: as for every provider; what the server can't do is refused and never quietly left out.
Source: Eternaltwin's API v1 as its clients speak it; RFC 6749; RFC 7636; RFC 9700.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Unpack
from urllib.parse import urlsplit

from clefstorm.errors import ConfigurationError, ProtocolViolation, RequestRefused
from clefstorm.keys import Key
from clefstorm.protocol.authorization import CodeGrant
from clefstorm.protocol.authorization_header import build_basic
from clefstorm.protocol.eternaltwin import EternaltwinAPI, EternaltwinUser
from clefstorm.protocol.exchange import Flow, done, fetch
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.metadata import ProviderMetadata, check_url
from clefstorm.protocol.token_endpoint import Tokens, read_token_response
from clefstorm.providers.provider import (
    BegunLogin,
    Clock,
    LoginParameters,
    Provider,
    SignedIn,
)

_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_NOT_ITS_OWN = (
    *("issuer", "response_mode", "client_key", "token_endpoint_auth_method"),
    *("token_endpoint_auth_signing_alg", "client_assertion_audience"),
    "pushed_authorization_requests",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EternaltwinProvider(Provider):
    """One application at an Eternaltwin server.

    ``url`` is the address of its API, ``https://eternaltwin.org/api/v1/``; or ``scheme``,
    ``host``, ``port`` (None: the scheme's own) and ``prefix`` are its parts. Sessions have the
    server's origin as ``iss`` and the user's id as ``sub``; ``scope`` is ``base``.
    """

    issuer: str = ""
    scope: Sequence[str] = ("base",)
    url: str | None = None
    scheme: str = "https"
    host: str | None = None
    port: int | None = None
    prefix: str = "/"
    api: EternaltwinAPI = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A class with slots is made anew, which breaks super() without arguments.
        Provider.__post_init__(self)
        for name in _NOT_ITS_OWN:
            if getattr(self, name):
                raise ConfigurationError(
                    f"Eternaltwin has no {name}; leave it out",
                    code="option_not_for_eternaltwin",
                    got=name,
                )
        if self.client_secret is None:
            raise ConfigurationError(
                "an Eternaltwin application has a client_secret", code="client_secret_missing"
            )
        if ":" in self.client_id:
            raise ConfigurationError(
                "a client_id of Eternaltwin has no colon: it is a user name of basic auth",
                code="client_id_invalid",
            )
        build_basic(self.client_id, self.client_secret)  # Judged now, and not at the first login.
        origin = _origin(self._address())
        object.__setattr__(self, "issuer", origin)
        object.__setattr__(self, "api", EternaltwinAPI(origin=origin))
        parameters = {"access_type": "offline", **self.authorization_parameters}
        object.__setattr__(self, "authorization_parameters", parameters)

    def _address(self) -> str:
        if self.url is not None:
            if self.host is not None or self.port is not None:
                raise ConfigurationError(
                    "url is the whole address: leave host and port out", code="url_and_host"
                )
            return self.url
        if self.host is None:
            raise ConfigurationError(
                "an option is missing", code="option_missing", expected="url, or host"
            )
        parts = {"scheme": self.scheme, "host": self.host, "prefix": self.prefix}
        for name, value in parts.items():
            if not isinstance(value, str):
                raise ConfigurationError(f"{name} is a text", code=f"{name}_invalid")
        if not _HOST.fullmatch(self.host):
            raise ConfigurationError(
                "host is a name or an address, and no more", code="host_invalid"
            )
        port = self.port
        if port is not None and (isinstance(port, bool) or not isinstance(port, int)):
            raise ConfigurationError("port is a number", code="port_invalid", got=port)
        host = f"[{self.host}]" if ":" in self.host else self.host
        shown = "" if port is None else f":{port}"
        return f"{self.scheme}://{host}{shown}/{self.prefix.lstrip('/')}"

    def metadata(self) -> Flow[ProviderMetadata]:
        """Return the endpoints; the server publishes none of it."""
        return done(
            ProviderMetadata(
                issuer=self.issuer,
                authorization_endpoint=self.api.authorization_endpoint,
                token_endpoint=self.api.token_endpoint,
            )
        )

    def begin_login(
        self, state_key: Key, *, clock: Clock, **parameters: Unpack[LoginParameters]
    ) -> Flow[BegunLogin]:
        """Begin a login.

        Raises RequestRefused for ``prompt`` none: the server shows a page where it must; and, for
        it says nothing about how and when its user signed in, for ``acr_values`` and ``max_age``.
        """
        if parameters.get("prompt") == "none":
            raise RequestRefused(
                "this sign-in service can't sign in silently", code="prompt_unsupported"
            )
        return Provider.begin_login(self, state_key, clock=clock, **parameters)

    def redeem(self, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Exchange the code, then ask whom the fresh token belongs to."""
        members = {
            "grant_type": "authorization_code",
            "code": grant.code,
            "code_verifier": grant.code_verifier,
        }
        tokens = yield from self._exchange(members, clock=clock)
        tokens = tokens.granted(self.scope)
        return (yield from self.identify(tokens, grant, clock=clock))

    def refresh(self, tokens: Tokens, *, clock: Clock) -> Flow[Tokens]:
        """Exchange the refresh token, in the form of the code's exchange (RFC 6749, section 6)."""
        if tokens.refresh_token is None:
            raise ConfigurationError(
                "the server gave no refresh token", code="refresh_token_missing"
            )
        members = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
        fresh = yield from self._exchange(members, clock=clock)
        return tokens.renewed_by(fresh)

    def _exchange(self, members: Mapping[str, str], *, clock: Clock) -> Flow[Tokens]:
        secret = self.client_secret or ""
        request = self.api.token_request(members, client_id=self.client_id, client_secret=secret)
        response = yield from fetch(request)
        basic = request.headers["Authorization"].rpartition(" ")[2]
        secrets = (*(text for name, text in members.items() if name != "grant_type"), secret, basic)
        return read_token_response(response, now=clock(), secrets=secrets)

    def identify(self, tokens: Tokens, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Ask the server whom the fresh access token belongs to."""
        asked = clock()
        user = yield from self.api.me(tokens.access_token)
        identity = Identity(iss=self.issuer, sub=user.id, claims=_claims(user))
        return SignedIn(identity=identity, tokens=tokens, issued=asked)


def _origin(url: object) -> str:
    try:
        parts = urlsplit(check_url(url, name="url"))
    except ProtocolViolation as error:
        raise ConfigurationError(
            "url is the server's https address such as https://eternaltwin.org/api/v1/",
            code="url_invalid",
            reason=error.message,
        ) from None
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _claims(user: EternaltwinUser) -> Mapping[str, object]:
    """The user under the names of OpenID Connect Core 1.0, section 5.1, where it has one."""
    claims = {
        "sub": user.id,
        "name": user.display_name,
        "is_administrator": user.is_administrator,
        "created_at": None if user.created_at is None else user.created_at.isoformat(),
        "deleted_at": None if user.deleted_at is None else user.deleted_at.isoformat(),
    }
    return {name: value for name, value in claims.items() if value is not None}
