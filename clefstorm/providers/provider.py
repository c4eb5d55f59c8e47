"""What every provider can do: begin a login, judge its callback, redeem the code, refresh.

LAW: flows and data only. A subclass says where the endpoints are (``metadata``) and who the
tokens are about (``identify``); it never weakens what stands here.
Source: RFC 6749, RFC 7009, RFC 7523, RFC 7636, RFC 9126, RFC 9207, RFC 9700.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypedDict

from clefstorm.errors import ConfigurationError, ProtocolViolation, RequestRefused
from clefstorm.keys import Key, KeyList
from clefstorm.protocol.authorization import (
    CodeGrant,
    PendingLogin,
    authorization_parameters,
    check_callback,
    check_extra_parameters,
)
from clefstorm.protocol.bearer import SCOPE_TOKEN
from clefstorm.protocol.client_auth import AUDIENCES, ClientAuthenticator
from clefstorm.protocol.exchange import Flow, done
from clefstorm.protocol.identity import Identity
from clefstorm.protocol.logout_token import LogoutNotice
from clefstorm.protocol.metadata import ProviderMetadata, check_url
from clefstorm.protocol.state import build_state
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.protocol.wave_button import WaveButton
from clefstorm.providers.client_calls import ClientCalls
from clefstorm.providers.client_calls import Clock as Clock

LOGIN_LIFETIME = 600.0
"""Seconds from the start of a login to its callback."""


def refuse_unproved(*, max_age: int | None, acr_values: str | None) -> None:
    """Raise RequestRefused for what a login asks of a provider that can't prove it.

    That is how and when it signed its user in; codes ``max_age_unsupported``, ``acr_unsupported``.
    """
    for name, wanted in (("max_age", max_age), ("acr", acr_values)):
        if wanted is not None:
            raise RequestRefused(
                "this sign-in service does not say how and when it signed its user in",
                code=f"{name}_unsupported",
            )


class LoginParameters(TypedDict, total=False):
    """What one login may ask for, as ``Provider.begin_login`` takes it; for who passes it on."""

    prompt: str | None
    login_hint: str | None
    ui_locales: str | None
    max_age: int | None
    acr_values: str | None
    extra: Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunLogin:
    """Where to send the browser, and what to remember until it comes back.

    With a ``button`` the login begins in a page that shows it, and ``url`` is where it leads to.
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    pending: PendingLogin
    button: WaveButton | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """The end of a login: who it is, the tokens, and what ends the session from outside.

    ``issued`` is when the provider vouched for it (iat, epoch seconds); ``sid`` is the
    provider's name for its own session, None when it has none.
    """

    identity: Identity
    tokens: Tokens
    issued: float
    sid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider(ABC):
    """One registration of an application with one provider; the parameters' names are OAuth's.

    ``issuer`` is the name under which the subjects of this provider are kept.
    Without ``client_secret`` and ``client_key`` it is a public client; ``client_key``, a key of
    clefstorm.keys or a KeyList, signs for private_key_jwt. ``token_endpoint_auth_method`` None
    takes what fits, ``token_endpoint_auth_signing_alg`` None HS256, or that of the key.
    ``client_assertion_audience`` is ``issuer`` (None, too) or, for a provider that refuses that,
    ``token_endpoint``. ``pushed_authorization_requests`` None pushes to whoever offers it, True
    insists, False doesn't. ``response_mode`` is None (the provider's default, query) or
    ``form_post``, which needs an https ``redirect_uri``.
    """

    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: str | None = field(default=None, repr=False)
    scope: Sequence[str] = ()
    client_key: Key | KeyList | None = None
    token_endpoint_auth_method: str | None = None
    token_endpoint_auth_signing_alg: str | None = None
    client_assertion_audience: str | None = None
    pushed_authorization_requests: bool | None = None
    response_mode: str | None = None
    authorization_parameters: Mapping[str, str] = field(default_factory=dict)
    _calls: ClientCalls = field(init=False, repr=False)

    has_id_token: ClassVar[bool] = False
    """Whether it says how and when the user signed in (acr, auth_time), and proves it."""

    def __post_init__(self) -> None:
        scope = self.scope.split() if isinstance(self.scope, str) else self.scope
        if not isinstance(scope, Collection) or not all(
            isinstance(one, str) and SCOPE_TOKEN.fullmatch(one) for one in scope
        ):
            raise ConfigurationError(
                "scope is a list of words, or a text of words with spaces between",
                code="scope_invalid",
            )
        object.__setattr__(self, "scope", tuple(scope))
        try:
            check_url(self.redirect_uri, name="redirect_uri")
        except ProtocolViolation as error:
            raise ConfigurationError(
                "redirect_uri is the full address of the mounted callback, https but on loopback",
                code="redirect_uri_invalid",
                reason=error.message,
                # What stands before an @ may be a password.
                got=str(self.redirect_uri).rpartition("@")[2],
            ) from None
        if self.response_mode not in (None, "query", "form_post"):
            raise ConfigurationError(
                "response_mode is query or form_post",
                code="response_mode_unknown",
                got=self.response_mode,
            )
        if self.response_mode == "form_post" and not self.redirect_uri.startswith("https:"):
            # The login cookie must be SameSite=None for a cross-site POST, and so Secure.
            raise ConfigurationError(
                "response_mode form_post needs an https redirect_uri", code="form_post_needs_https"
            )
        client = ClientAuthenticator(
            client_id=self.client_id,
            client_secret=self.client_secret,
            client_key=self.client_key,
            method=self.token_endpoint_auth_method,
            signing_alg=self.token_endpoint_auth_signing_alg,
            audience=self.client_assertion_audience or AUDIENCES[0],
        )
        object.__setattr__(self, "_calls", ClientCalls(client))
        if not isinstance(self.pushed_authorization_requests, bool | None):
            raise ConfigurationError(
                "pushed_authorization_requests is True, False, or None for where it is offered",
                code="pushed_authorization_requests_invalid",
            )
        extra = self.authorization_parameters
        if not isinstance(extra, Mapping) or not all(
            isinstance(text, str) for item in extra.items() for text in item
        ):
            raise ConfigurationError(
                "authorization_parameters are texts by name",
                code="authorization_parameters_invalid",
            )
        check_extra_parameters(extra)

    @abstractmethod
    def metadata(self) -> Flow[ProviderMetadata]:
        """Return where the provider's endpoints are."""

    @abstractmethod
    def identify(self, tokens: Tokens, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Return whom these fresh tokens are about."""

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
        """Begin a login; ``max_age`` is in seconds, None leaves a parameter out.

        The login ends well only with one of the words of ``acr_values``, and a sign-in no older
        than ``max_age``; RequestRefused where there is no id token to prove it. (What a provider
        may take or leave stands in ``extra``.)
        """
        if not self.has_id_token:
            refuse_unproved(max_age=max_age, acr_values=acr_values)
        metadata = yield from self.metadata()
        pending = PendingLogin(
            redirect_uri=self.redirect_uri, max_age=max_age, prompt=prompt, acr_values=acr_values
        )
        state = build_state(
            state_key,
            authorization_server=self.issuer,
            browser_secret=pending.browser_secret,
            now=clock(),
            lifetime=LOGIN_LIFETIME,
        )
        parameters = authorization_parameters(
            pending,
            client_id=self.client_id,
            scope=self.scope,
            state=state,
            response_mode=self.response_mode,
            login_hint=login_hint,
            ui_locales=ui_locales,
            extra={**self.authorization_parameters, **(extra or {})},
        )
        url = yield from self._calls.authorization_url(
            metadata, parameters, push=self.pushed_authorization_requests, clock=clock
        )
        return BegunLogin(url=url, state=state, pending=pending)

    def check_callback(
        self, parameters: Sequence[tuple[str, str]], pending: PendingLogin
    ) -> Flow[CodeGrant]:
        """Judge a callback whose state was found good."""
        metadata = yield from self.metadata()
        return check_callback(
            parameters,
            pending,
            issuer=metadata.issuer or None,
            iss_required=metadata.authorization_response_iss_parameter_supported,
        )

    def redeem(self, grant: CodeGrant, *, clock: Clock) -> Flow[SignedIn]:
        """Exchange the code and find out who signed in."""
        metadata = yield from self.metadata()
        tokens = yield from self._calls.exchange(metadata, grant, clock=clock)
        tokens = tokens.granted(self.scope)
        return (yield from self.identify(tokens, grant, clock=clock))

    def refresh(self, tokens: Tokens, *, clock: Clock) -> Flow[Tokens]:
        """Exchange the refresh token; a rotated one replaces the old, an absent one keeps it.

        The answer's ``id_token`` is None when the provider sent none; it is not yet checked.
        """
        if tokens.refresh_token is None:
            raise ConfigurationError(
                "the provider gave no refresh token: ask for it, often by the scope offline_access",
                code="refresh_token_missing",
            )
        metadata = yield from self.metadata()
        fresh = yield from self._calls.refresh(metadata, tokens.refresh_token, clock=clock)
        return tokens.renewed_by(fresh)

    def identify_refreshed(
        self,
        fresh: Tokens,
        identity: Identity,
        *,
        previous_id_token: str | None = None,
        clock: Clock,
    ) -> Flow[Identity]:
        """Return the identity after a refresh; without id tokens nothing new is known."""
        return done(identity)

    def revoke(self, token: str, *, token_type_hint: str | None, clock: Clock) -> Flow[None]:
        """Revoke a token of this client at the provider (RFC 7009); see AsyncClient.revoke."""
        metadata = yield from self.metadata()
        yield from self._calls.revoke(metadata, token, token_type_hint=token_type_hint, clock=clock)

    def open_token(self, token: str) -> str:
        """Return the signed token inside an encrypted one, and one that isn't encrypted as it is.

        Raises ProtocolViolation when it can't be opened, or is not what was agreed.
        """
        return token

    def end_session_url(self, *, id_token: str | None, state: str | None) -> Flow[str | None]:
        """Return where to end the provider's own session, None when that can't be."""
        return done(None)

    def check_logout(self, logout_token: str, *, clock: Clock) -> Flow[LogoutNotice]:
        """Judge a logout token; a provider without OpenID Connect never sends one."""
        raise ConfigurationError(
            "this provider does not do Back-Channel Logout", code="back_channel_unsupported"
        )
