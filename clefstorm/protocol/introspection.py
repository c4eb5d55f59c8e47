"""Asking a provider what a token is, and judging its answer.

LAW: the token goes into the body of a request to the provider's own endpoint, and nowhere else;
only ``active: true`` is a yes, and what the answer says besides is judged like claims.
Source: RFC 7662, 2 and 4; RFC 9470, 6.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clefstorm.errors import DocumentViolation, ProtocolViolation, ProviderError
from clefstorm.protocol.access_token import (
    AccessToken,
    check_audience,
    check_unbound,
    scope_of,
)
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.form_request import Authentication, build_form_request
from clefstorm.protocol.jwt import check_iss, check_times, text_claim, time_claim
from clefstorm.protocol.oauth_error import read_oauth_error
from clefstorm.protocol.strict_json import read_json_object

LARGEST_INTROSPECTION = 64 * 1024
"""Bytes of an answer."""

# What only an id token has: a provider that calls one active must not make it an access token.
_OF_ID_TOKENS = frozenset({"at_hash", "c_hash"})
# Providers that call a refresh token active say what it is under one of two names.
_OTHER_TYPS = frozenset({"refresh", "offline", "id"})


def build_introspection_request(
    introspection_endpoint: str, token: str, *, authentication: Authentication
) -> Request:
    """Build the request about an access token (RFC 7662, section 2.1)."""
    form = {"token": token, "token_type_hint": "access_token"}
    return build_form_request(
        introspection_endpoint, form, authentication, max_bytes=LARGEST_INTROSPECTION
    )


def read_introspection(
    response: Response,
    *,
    issuer: str,
    audience: str,
    aud_required: bool,
    now: float,
    leeway: float = 60.0,
) -> AccessToken:
    """Judge the answer; return what the token stands for.

    ``aud_required`` False believes an answer without aud. ``now`` and ``leeway`` in seconds.
    Raises ProtocolViolation for a token that is not good: ``token_inactive``,
    ``token_type_unsupported``, ``token_is_id_token``, ``token_use_wrong``, and those of
    ``check_access_token``.
    Raises ProviderError (``introspection_refused``) when the provider does not take our
    credentials, and DocumentViolation when its answer can't be used: no word about the token.
    """
    claims = _read_answer(response)
    token_type = text_claim(claims, "token_type", required=False)
    if token_type is not None and token_type.lower() != "bearer":
        raise ProtocolViolation(
            "no access token that whoever bears it may use",
            code="token_type_unsupported",
            expected="Bearer",
            got=token_type,
        )
    if not _OF_ID_TOKENS.isdisjoint(claims):
        raise ProtocolViolation("an id token is no access token", code="token_is_id_token")
    _check_use(claims)
    if "iss" in claims:
        check_iss(claims, issuer=issuer)
    if "aud" in claims or aud_required:
        check_audience(claims, audience=audience)
    # Both may be left out here, and then nothing is said that could be wrong.
    check_times({"iat": now, "exp": now + 1, **claims}, now=now, leeway=leeway)
    check_unbound(claims)
    return AccessToken(
        iss=issuer,
        sub=text_claim(claims, "sub", required=False),
        client_id=text_claim(claims, "client_id", required=False),
        scope=scope_of(claims),
        exp=time_claim(claims, "exp", required=False),
        claims=claims,
    )


def _check_use(claims: Mapping[str, Any]) -> None:
    """An active refresh token is no access token, and it lives far longer."""
    use = text_claim(claims, "token_use", required=False)
    typ = text_claim(claims, "typ", required=False)
    if use not in (None, "access_token") or (typ or "").lower() in _OTHER_TYPS:
        raise ProtocolViolation(
            "the provider calls it active, but no access token",
            code="token_use_wrong",
            expected="access_token",
            got=use or typ,
        )


def _read_answer(response: Response) -> dict[str, Any]:
    """The members of an answer about an active token; those that are null count as absent."""
    if response.status in (401, 403):
        raise ProviderError(
            "the provider lets us not introspect: see client_id and client_secret",
            error="invalid_client" if response.status == 401 else "access_denied",
            code="introspection_refused",
            got=response.status,
        )
    if response.status == 400:
        refused = read_oauth_error(response)
        if refused is not None and refused.error == "unsupported_token_type":
            # Some say it of every JWT that is no token of theirs to introspect.
            raise ProtocolViolation(
                "the provider introspects no such token", code="token_type_unsupported"
            )
    if response.status != 200:
        raise DocumentViolation(
            "the introspection endpoint gave no answer that could be used",
            code="introspection_status",
            expected=200,
            got=response.status,
        )
    try:
        answer = read_json_object(response.body)
    except ProtocolViolation as error:
        raise DocumentViolation(error.message, code=error.code, **error.evidence) from None
    active = answer.get("active")
    if not isinstance(active, bool):
        raise DocumentViolation(
            "the introspection endpoint does not say whether the token is active",
            code="introspection_active",
            expected="true or false",
            got=type(active).__name__,
        )
    if not active:
        raise ProtocolViolation("the provider calls the token inactive", code="token_inactive")
    return {name: value for name, value in answer.items() if value is not None}
