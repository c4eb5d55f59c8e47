"""A server that speaks Clef API v1, as one more kind of provider.

A Clef login begins in the page: the wave button carries the state, and the browser comes back to
the callback with ``code`` and ``state``. There is no id token and no PKCE; the code is exchanged
with the application's secret, and the API's answer to the fresh token names the user.
LAW: as for every provider; what Clef can't do is refused and never quietly left out.
Source: Clef API v1; RFC 6749, section 10.12 (state).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from clefstorm.errors import ConfigurationError, RequestRefused
from clefstorm.keys import Key
from clefstorm.protocol.authorization import CodeGrant, PendingLogin, check_callback
from clefstorm.protocol.clef_api import API_URL, ClefAPI, check_api_url
from clefstorm.protocol.exchange import Flow, done
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.logout_token import LogoutNotice
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.state import build_state
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.protocol.wave_button import ClefWaveStyle, make_wave_button
from clefstorm.providers.provider import (
    LOGIN_LIFETIME,
    BegunLogin,
    Clock,
    Provider,
    SignedIn,
    refuse_unproved,
)

LONGEST_LOGOUT_TOKEN = 4096
"""Characters; a longer one is refused before anybody is asked about it."""
_REMEMBERED = 86400.0
_OF_OAUTH = (
    *("scope", "response_mode", "authorization_parameters", "client_key"),
    *("token_endpoint_auth_method", "token_endpoint_auth_signing_alg"),
    *("client_assertion_audience", "pushed_authorization_requests"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClefProvider(Provider):
    """One application at a Clef server: ``client_id`` is its app id, ``client_secret`` its secret.

    ``api_url`` is where the three calls are, ``style`` how the wave looks. Sessions have the
    API's origin as ``iss`` and the clef id, as a text, as ``sub``.
    """

    issuer: str = ""
    api_url: str = API_URL
    style: ClefWaveStyle | None = None
    _api: ClefAPI = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A class with slots is made anew, which breaks super() without arguments.
        Provider.__post_init__(self)
        if self.client_secret is None:
            raise ConfigurationError(
                "a Clef application has a client_secret", code="client_secret_missing"
            )
        for name in _OF_OAUTH:
            if getattr(self, name):
                raise ConfigurationError(
                    f"Clef has no {name}; leave it out", code="option_not_for_clef", got=name
                )
        if not isinstance(self.style, ClefWaveStyle | None):
            raise ConfigurationError("style is a ClefWaveStyle", code="style_invalid")
        object.__setattr__(self, "api_url", check_api_url(self.api_url))
        if not self.issuer:
            parts = urlsplit(self.api_url)
            object.__setattr__(self, "issuer", f"{parts.scheme}://{parts.netloc}")
        api = ClefAPI(api_url=self.api_url, app_id=self.client_id, app_secret=self.client_secret)
        object.__setattr__(self, "_api", api)

    def metadata(self) -> Flow[ProviderMetadata]:
        """Raise ConfigurationError: a Clef server publishes no metadata, and nothing here asks."""
        raise ConfigurationError("a Clef server has no metadata", code="clef_no_metadata")

    def begin_login(
        self,
        state_key: Key,
        *,
        clock: Clock,
        prompt: str | None = None,
        login_hint: str | None = None,
        ui_locales: str | None = None,
        max_age: int | None = None,
        acr_values: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Flow[BegunLogin]:
        """Make a wave button; ``url`` of the result is where it leads back to.

        Clef always asks its user, so every ``prompt`` holds but none; hints are left out. Raises
        RequestRefused for ``prompt`` none, ``max_age`` and ``acr_values``, ConfigurationError for
        ``extra``.
        """
        refuse_unproved(max_age=max_age, acr_values=acr_values)
        if prompt == "none":
            raise RequestRefused(
                "this sign-in service always asks its user", code="prompt_unsupported"
            )
        if extra:
            raise ConfigurationError("Clef takes no extra parameters", code="option_not_for_clef")
        pending = PendingLogin(redirect_uri=self.redirect_uri, prompt=prompt)
        state = build_state(
            state_key,
            authorization_server=self.issuer,
            browser_secret=pending.browser_secret,
            now=clock(),
            lifetime=LOGIN_LIFETIME,
        )
        button = make_wave_button(
            src=self._api.script_url,
            app_id=self.client_id,
            redirect_url=self.redirect_uri,
            state=state,
            style=self.style,
        )
        return done(
            BegunLogin(url=button.redirect_url, state=state, pending=pending, button=button)
        )

    def check_callback(
        self, parameters: Sequence[tuple[str, str]], pending: PendingLogin
    ) -> Flow[CodeGrant]:
        """Judge a callback whose state was found good."""
        return done(check_callback(parameters, pending, issuer=self.issuer, iss_required=False))

    def redeem(self, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Exchange the code, then ask whom the fresh token belongs to."""
        asked = clock()
        tokens = Tokens(access_token=(yield from self._api.authorize(grant.code)))
        return (yield from self.identify(tokens, grant, clock=lambda: asked))

    def identify(self, tokens: Tokens, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Ask the API whom the access token belongs to."""
        asked = clock()
        info = yield from self._api.info(tokens.access_token)
        identity = Identity(iss=self.issuer, sub=str(info["id"]), claims=_claims(info))
        return SignedIn(identity=identity, tokens=tokens, issued=asked)

    def check_logout(self, logout_token: str, *, clock: Clock) -> Flow[LogoutNotice]:
        """Exchange the webhook's logout token for the user whose sessions are to end.

        Raises RequestRefused for one that is too long, ClefAPIError when the API knows none such.
        """
        if len(logout_token) > LONGEST_LOGOUT_TOKEN:
            raise RequestRefused("the logout token is too long", code="logout_token_too_long")
        clef_id = yield from self._api.logged_out(logout_token)
        return LogoutNotice(
            iss=self.issuer,
            sub=str(clef_id),
            sid=None,
            jti=hashlib.sha256(logout_token.encode()).hexdigest(),
            iat=None,
            forget_at=clock() + _REMEMBERED,
        )


def _claims(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The API's words under the names of OpenID Connect Core 1.0, section 5.1."""
    found = {
        "email": info.get("email"),
        "given_name": info.get("first_name"),
        "family_name": info.get("last_name"),
        "phone_number": info.get("phone_number"),
    }
    claims: dict[str, Any] = {
        name: value for name, value in found.items() if isinstance(value, str) and value
    }
    name = " ".join(claims[part] for part in ("given_name", "family_name") if part in claims)
    return {"sub": str(info["id"]), **({"name": name} if name else {}), **claims}
