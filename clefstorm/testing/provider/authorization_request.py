"""What a client asks of the embedded provider's authorization endpoint, judged.

LAW: values in, a stronger value or RequestRefused out; no session is looked at but in next_step.
Source: OpenID Connect Core 1.0, sections 3.1.2.1, 3.1.2.2 and 6.1; RFC 6749, sections 3.1 and
4.1.2.1; RFC 7636, section 4.4.1; OAuth 2.0 Form Post Response Mode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import parse_qsl

from clefstorm.errors import RequestRefused
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.store import ProviderSession

SCOPES = ("openid", "profile", "email", "offline_access")
RESPONSE_MODES = ("query", "form_post")
PROMPTS = ("none", "login", "consent", "select_account")

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_NOT_SUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


class Step(Enum):
    """What the user is shown next."""

    SIGN_IN = "sign in"
    AGREE = "agree, or take another account"
    ANSWER = "nothing: the client gets its code"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnAddress:
    """Where an answer may go, known before the rest of the request is judged."""

    client: Client
    redirect_uri: str
    response_mode: str
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that the provider will serve; ``query`` is its text, to be sent round a form."""

    query: str
    to: ReturnAddress
    scope: tuple[str, ...]
    nonce: str | None
    code_challenge: str
    prompt: frozenset[str]
    max_age: int | None
    login_hint: str | None
    id_token_hint: str | None


def read_parameters(query: str) -> dict[str, list[str]]:
    """Return the parameters; one without a value counts as absent (RFC 6749, section 3.1)."""
    parameters: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(query, max_num_fields=50, errors="strict"):
            parameters.setdefault(name, []).append(value)
    except ValueError:
        raise RequestRefused("the parameters can't be read", code="invalid_request") from None
    return parameters


def _one(parameters: Mapping[str, list[str]], name: str) -> str | None:
    values = parameters.get(name, [])
    if len(values) > 1:
        raise RequestRefused(f"{name} stands twice", code="invalid_request")
    return values[0] if values else None


def read_return_address(
    parameters: Mapping[str, list[str]], clients: Mapping[str, Client]
) -> ReturnAddress:
    """Return where to answer.

    Raises RequestRefused, which is shown to the user and sent nowhere (RFC 6749, section
    4.1.2.1): ``client_unknown``, ``redirect_uri_unregistered``, ``invalid_request``.
    """
    client = clients.get(_one(parameters, "client_id") or "")
    if client is None:
        raise RequestRefused(
            "The application that sent you here is not registered.", code="client_unknown"
        )
    redirect_uri = _one(parameters, "redirect_uri")
    if redirect_uri not in client.redirect_uris:
        raise RequestRefused(
            "The application asked to send you to an address that is not registered for it.",
            code="redirect_uri_unregistered",
        )
    # A refusal over these two goes to the client too, in the way that is always possible.
    mode, state = parameters.get("response_mode", []), parameters.get("state", [])
    return ReturnAddress(
        client=client,
        redirect_uri=redirect_uri or "",
        response_mode=mode[0] if len(mode) == 1 and mode[0] in RESPONSE_MODES else "query",
        state=state[0] if len(state) == 1 else None,
    )


def read_request(
    query: str, parameters: Mapping[str, list[str]], to: ReturnAddress
) -> AuthorizationRequest:
    """Judge the whole request. Raises RequestRefused whose code is the error for the client."""
    if any(len(values) > 1 for values in parameters.values()):
        raise RequestRefused("a parameter stands twice", code="invalid_request")
    for name, code in _NOT_SUPPORTED.items():
        if name in parameters:
            raise RequestRefused(f"{name} is not supported", code=code)
    if _one(parameters, "response_type") != "code":
        raise RequestRefused("only the code flow is served", code="unsupported_response_type")
    if _one(parameters, "response_mode") not in (None, *RESPONSE_MODES):
        raise RequestRefused("response_mode is query or form_post", code="invalid_request")
    asked = (_one(parameters, "scope") or "").split()
    if "openid" not in asked:
        raise RequestRefused("scope must contain openid", code="invalid_scope")
    if _one(parameters, "code_challenge_method") != "S256":
        raise RequestRefused("PKCE is required: code_challenge_method S256", code="invalid_request")
    challenge = _one(parameters, "code_challenge")
    if challenge is None or not _CHALLENGE.match(challenge):
        raise RequestRefused("PKCE is required: code_challenge", code="invalid_request")
    return AuthorizationRequest(
        query=query,
        to=to,
        scope=tuple(value for value in (*SCOPES, *to.client.api_scopes) if value in asked),
        nonce=_one(parameters, "nonce"),
        code_challenge=challenge,
        prompt=_read_prompt(_one(parameters, "prompt")),
        max_age=_read_max_age(_one(parameters, "max_age")),
        login_hint=_one(parameters, "login_hint"),
        id_token_hint=_one(parameters, "id_token_hint"),
    )


def _read_prompt(text: str | None) -> frozenset[str]:
    prompt = frozenset((text or "").split())
    if not prompt <= set(PROMPTS):
        raise RequestRefused("prompt has an unknown value", code="invalid_request")
    if "none" in prompt and len(prompt) > 1:
        raise RequestRefused("prompt none stands alone", code="invalid_request")
    return prompt


def _read_max_age(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise RequestRefused("max_age is a number of seconds", code="invalid_request")
    return int(text)


def next_step(
    request: AuthorizationRequest,
    session: ProviderSession | None,
    *,
    now: float,
    hinted_user: str | None,
    fresh: bool = False,
    agreed: bool = False,
) -> Step:
    """Return what must happen before the client gets its code.

    ``fresh``: the user proved who they are for this very request; ``agreed``: they pressed the
    button that says so. ``hinted_user`` is the username of the id_token_hint, None without one.
    """
    if session is None or hinted_user not in (None, session.username):
        return Step.SIGN_IN
    if not fresh:
        if "login" in request.prompt:
            return Step.SIGN_IN
        if request.max_age is not None and now - session.auth_time > request.max_age:
            return Step.SIGN_IN
    if "consent" in request.prompt and not agreed:
        return Step.AGREE
    # Whoever has just typed a name has selected an account.
    if "select_account" in request.prompt and not (fresh or agreed):
        return Step.AGREE
    return Step.ANSWER
