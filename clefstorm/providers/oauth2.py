"""Any OAuth 2 server that can say who a token belongs to.

LAW: without an id token the profile answered to a fresh access token of ours is the only word
about the user; nothing else names a subject.
Source: RFC 6749; RFC 9700.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from clefstorm.errors import ConfigurationError, ProtocolViolation, RequestRefused
from clefstorm.protocol.authorization import CodeGrant, PendingLogin, callback_parameter
from clefstorm.protocol.exchange import Flow, done, fetch
from clefstorm.protocol.identity import Identity, build_userinfo_request, read_profile
from clefstorm.protocol.metadata import ProviderMetadata, check_url
from clefstorm.protocol.pushed_authorization import pushed_endpoint
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers.provider import Clock, Provider, SignedIn

_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
_OPTIONAL_ENDPOINTS = ("revocation_endpoint", "pushed_authorization_request_endpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2Provider(Provider):
    """An OAuth 2 server by its endpoints.

    ``userinfo_endpoint`` answers a bearer token with a JSON object, whose member
    ``subject_claim`` (a string or an integer) names the user for good. ``issuer`` is what the
    server sends as ``iss`` (RFC 9207), if it does; '' stands for the authorization endpoint's
    origin, and then an ``iss`` must be that, or an address above the endpoint. The server revokes
    tokens at ``revocation_endpoint`` and takes pushed requests at
    ``pushed_authorization_request_endpoint``, unless they are None.
    """

    issuer: str = ""
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    subject_claim: str = "sub"
    revocation_endpoint: str | None = None
    pushed_authorization_request_endpoint: str | None = None
    _endpoints: ProviderMetadata = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A class with slots is made anew, which breaks super() without arguments.
        Provider.__post_init__(self)
        for name in (*_ENDPOINTS, *_OPTIONAL_ENDPOINTS):
            if getattr(self, name) is None and name in _OPTIONAL_ENDPOINTS:
                continue
            try:
                check_url(getattr(self, name), name=name)
            except ProtocolViolation as error:
                raise ConfigurationError(
                    "an endpoint is an absolute https URL",
                    code="endpoint_invalid",
                    name=name,
                    reason=error.message,
                ) from None
        for name in ("issuer", "subject_claim"):
            if not isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name} is a text", code=f"{name}_invalid")
        endpoints = ProviderMetadata(
            issuer=self.issuer,
            authorization_endpoint=self.authorization_endpoint,
            token_endpoint=self.token_endpoint,
            userinfo_endpoint=self.userinfo_endpoint,
            revocation_endpoint=self.revocation_endpoint,
            pushed_authorization_request_endpoint=self.pushed_authorization_request_endpoint,
        )
        object.__setattr__(self, "_endpoints", endpoints)
        # With other providers this has to wait for their metadata; here it is all known.
        self._calls.client.check(endpoints)
        pushed_endpoint(endpoints, wanted=self.pushed_authorization_requests)
        if not self.issuer:
            parts = urlsplit(self.authorization_endpoint)
            object.__setattr__(self, "issuer", f"{parts.scheme}://{parts.netloc}")

    def metadata(self) -> Flow[ProviderMetadata]:
        """Return the configured endpoints."""
        return done(self._endpoints)

    def check_callback(
        self, parameters: Sequence[tuple[str, str]], pending: PendingLogin
    ) -> Flow[CodeGrant]:
        """Judge a callback; without a configured issuer, ``iss`` must be above the endpoint."""
        iss = callback_parameter(parameters, "iss")
        # Else the code of another provider could be lured to this one (RFC 9700, section 4.4), or
        # that of another tenant on the same host.
        if iss is not None and iss != self.issuer and not self._is_below(iss):
            raise RequestRefused(
                "the answer is from another provider than the one that was asked",
                code="iss_mismatch",
                expected=self.issuer,
                got=iss,
                remedy="if it is the right one, configure it as the issuer of the alias",
            )
        return (yield from Provider.check_callback(self, parameters, pending))

    def _is_below(self, iss: str) -> bool:
        """Whether this may be the name of the server that has our authorization endpoint."""
        if self._endpoints.issuer or not iss.startswith(f"{self.issuer}/"):
            return False
        return self.authorization_endpoint.startswith(f"{iss.rstrip('/')}/")

    def identify(self, tokens: Tokens, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Ask the server whom the fresh access token belongs to."""
        asked = clock()
        response = yield from fetch(
            build_userinfo_request(self.userinfo_endpoint, tokens.access_token)
        )
        profile = read_profile(response)
        subject = profile.get(self.subject_claim)
        if isinstance(subject, bool) or not isinstance(subject, (str, int)) or subject == "":
            raise ProtocolViolation(
                "the server does not say who the user is",
                code="subject_missing",
                name=self.subject_claim,
            )
        identity = Identity(iss=self.issuer, sub=str(subject), claims=profile)
        return SignedIn(identity=identity, tokens=tokens, issued=asked)
