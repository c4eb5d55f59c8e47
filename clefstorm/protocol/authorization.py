"""The authorization request, and the judgement of what comes back to the callback.

LAW: only ``check_callback`` makes a CodeGrant and only a CodeGrant can be exchanged, so that
nobody can forget the checks, the verifier or the nonce.
Source: RFC 6749, section 4.1; OpenID Connect Core 1.0, section 3.1.2; RFC 7636; RFC 9207.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

from clefstorm.errors import AuthorizationRefused, ConfigurationError, RequestRefused
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.pkce import new_verifier, s256_challenge

LONGEST_PARAMETER = 8192
"""Characters of one callback parameter."""

SILENT_REFUSALS = frozenset(
    {"login_required", "interaction_required", "consent_required", "account_selection_required"}
)
"""The answers that prompt=none exists to give (Core 1.0, section 3.1.2.6)."""

_OURS = frozenset(
    {
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "response_mode",
        "scope",
        "prompt",
        "max_age",
        "request",
        "request_uri",
    }
)
_MADE_BY_CHECK_CALLBACK = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLogin:
    """What must be remembered from the request to the callback; it belongs to one browser."""

    redirect_uri: str
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    code_verifier: str = field(default_factory=new_verifier, repr=False)
    browser_secret: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    max_age: int | None = None
    prompt: str | None = None
    acr_values: str | None = None


@dataclass(frozen=True, slots=True, init=False)
class CodeGrant:
    """An authorization code whose callback was judged good, with all that its exchange needs."""

    code: str = field(repr=False)
    redirect_uri: str
    code_verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    max_age: int | None
    acr_values: str | None

    def __init__(self, made_by: object, code: str, pending: PendingLogin) -> None:
        if made_by is not _MADE_BY_CHECK_CALLBACK:
            raise TypeError("only check_callback makes a CodeGrant")
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "redirect_uri", pending.redirect_uri)
        object.__setattr__(self, "code_verifier", pending.code_verifier)
        object.__setattr__(self, "nonce", pending.nonce)
        object.__setattr__(self, "max_age", pending.max_age)
        object.__setattr__(self, "acr_values", pending.acr_values)


def check_extra_parameters(extra: Mapping[str, str]) -> None:
    """Raise ConfigurationError when one would replace a parameter that carries security."""
    taken = _OURS.intersection(extra)
    if taken:
        raise ConfigurationError(
            "extra parameters can't replace those that protect the login",
            code="extra_parameter_reserved",
            got=", ".join(sorted(taken)),
        )


def authorization_parameters(
    pending: PendingLogin,
    *,
    client_id: str,
    scope: Sequence[str],
    state: str,
    response_mode: str | None = None,
    login_hint: str | None = None,
    ui_locales: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the parameters of an authorization request; None leaves a parameter out.

    Raises ConfigurationError when ``extra`` would replace a parameter that carries security.
    """
    check_extra_parameters(extra or {})
    chosen = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": pending.redirect_uri,
        "scope": " ".join(scope) or None,
        "state": state,
        "nonce": pending.nonce if "openid" in scope else None,
        "code_challenge": s256_challenge(pending.code_verifier),
        "code_challenge_method": "S256",
        "response_mode": response_mode,
        "prompt": pending.prompt,
        "max_age": None if pending.max_age is None else str(pending.max_age),
        "login_hint": login_hint,
        "ui_locales": ui_locales,
        **(extra or {}),
    }
    if pending.acr_values is not None:
        # After the extra ones: what this login needs goes before what every login would like.
        chosen["acr_values"] = pending.acr_values
    return {name: value for name, value in chosen.items() if value is not None}


def build_authorization_url(metadata: ProviderMetadata, parameters: Mapping[str, str]) -> str:
    """Return the URL to send the browser to."""
    return with_query(metadata.authorization_endpoint, urlencode(parameters))


def with_query(endpoint: str, query: str) -> str:
    """Add a query to an endpoint, whose own one must be kept (RFC 6749, section 3.1)."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))


def callback_parameter(parameters: Sequence[tuple[str, str]], name: str) -> str | None:
    """Return the one value of a callback parameter, None when it is absent or empty.

    Raises RequestRefused when it stands twice (RFC 6749, section 3.1) or is too long.
    """
    values = [value for key, value in parameters if key == name]
    if len(values) > 1:
        raise RequestRefused(
            "a parameter stands twice in the callback", code="parameter_repeated", name=name
        )
    if values and len(values[0]) > LONGEST_PARAMETER:
        raise RequestRefused(
            "a parameter of the callback is too long", code="parameter_too_long", name=name
        )
    return values[0] if values and values[0] else None


def check_received_at(
    received_at: str | None, redirect_uri: str, *, among: Collection[str]
) -> None:
    """Refuse an answer that came to the redirect_uri of another provider (mix-up).

    ``received_at`` is the URL at which it was received, None when that is not known; ``among``
    are all our redirect_uris. A proxy may have cut a prefix off the path and kept the host to
    itself, so what counts is to which of them the request may have come. Raises RequestRefused
    (``redirect_uri_mismatch``). Source: RFC 9700, section 4.4.2.2.
    """
    if received_at is None:
        return
    path, host = urlsplit(received_at).path, urlsplit(received_at).netloc.lower()
    by_path = {uri for uri in among if urlsplit(uri).path.endswith(path)}
    by_host = {uri for uri in by_path if urlsplit(uri).netloc.lower() == host}
    possible = by_host or by_path
    if possible and redirect_uri not in possible:
        raise RequestRefused(
            "the answer came to the address of another provider than the one that was asked",
            code="redirect_uri_mismatch",
            expected=redirect_uri,
            got=received_at,
        )


def check_callback(
    parameters: Sequence[tuple[str, str]],
    pending: PendingLogin,
    *,
    issuer: str | None,
    iss_required: bool,
) -> CodeGrant:
    """Judge the parameters of a callback whose state was found good; return its CodeGrant.

    ``issuer`` is None for a provider that has none. Raises RequestRefused (``iss_missing``,
    ``iss_mismatch``: RFC 9207, section 2.4; ``code_missing``, ``code_and_error``) or
    AuthorizationRefused when the provider said no.
    """
    iss = callback_parameter(parameters, "iss")
    code = callback_parameter(parameters, "code")
    error = callback_parameter(parameters, "error")
    description = callback_parameter(parameters, "error_description")
    if iss is None and iss_required:
        raise RequestRefused(
            "the answer does not say which provider it is from", code="iss_missing"
        )
    if iss is not None and issuer is not None and iss != issuer:
        raise RequestRefused(
            "the answer is from another provider than the one that was asked",
            code="iss_mismatch",
            expected=issuer,
            got=iss,
        )
    if error is not None:
        if code is not None:
            raise RequestRefused("the answer is both a code and an error", code="code_and_error")
        raise AuthorizationRefused(
            "the provider did not sign the user in", error=error, error_description=description
        )
    if code is None:
        raise RequestRefused("the callback brings no code", code="code_missing")
    return CodeGrant(_MADE_BY_CHECK_CALLBACK, code, pending)
