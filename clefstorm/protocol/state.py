"""The signed ``state`` of an authorization request.

It is a JWT that says which request of ours the browser comes back from, and ``rfp`` binds it to
the browser that began: a value that only that browser's cookie can reproduce.
LAW: the state carries no secret, for it travels in URLs.
Source: draft-bradley-oauth-jwt-encoded-state (claim names); RFC 6749, section 10.12.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from clefstorm.errors import ProtocolViolation, RequestRefused
from clefstorm.keys import Key
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import build_jwt, text_claim, time_claim, verify_jwt

ACTION = "authorize"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The claims of a state: ``as_`` is the claim "as", the authorization server's URL."""

    a: str
    as_: str
    iat: float
    rfp: str
    exp: float
    nonce: str


def forgery_protection(browser_secret: str) -> str:
    """Return the ``rfp`` that belongs to the random value kept in the browser's cookie."""
    digest = hashlib.sha256(browser_secret.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def build_state(
    key: Key, *, authorization_server: str, browser_secret: str, now: float, lifetime: float
) -> str:
    """Return a signed state that ends ``lifetime`` seconds after ``now``."""
    claims = {
        "a": ACTION,
        "as": authorization_server,
        "iat": int(now),
        "rfp": forgery_protection(browser_secret),
        "exp": int(now + lifetime),
        "nonce": secrets.token_urlsafe(16),
    }
    return build_jwt(claims, key)


def check_state(state: str, keys: Sequence[Key], *, authorization_server: str, now: float) -> State:
    """Judge a state that came back; ``keys`` are those that may have signed it, newest first.

    Raises RequestRefused: ``state_invalid`` (not ours), ``state_expired``, or
    ``state_other_provider`` (begun with another authorization server).
    """
    try:
        claims = verify_jwt(state, KeySet.of(keys), algorithms=frozenset(key.alg for key in keys))
        found = State(
            a=text_claim(claims, "a", required=True),
            as_=text_claim(claims, "as", required=True),
            iat=time_claim(claims, "iat", required=True),
            rfp=text_claim(claims, "rfp", required=True),
            exp=time_claim(claims, "exp", required=True),
            nonce=text_claim(claims, "nonce", required=True),
        )
    except ProtocolViolation as error:
        raise RequestRefused(
            "this state is not one of ours", code="state_invalid", reason=error.code
        ) from None
    if found.a != ACTION:
        raise RequestRefused(
            "this answer belongs to no sign-in that was begun here", code="state_invalid"
        )
    if found.exp <= now:
        raise RequestRefused("this sign-in took too long", code="state_expired")
    if found.as_ != authorization_server:
        raise RequestRefused(
            "this answer belongs to a sign-in with another provider",
            code="state_other_provider",
            expected=authorization_server,
            got=found.as_,
        )
    return found


def check_browser(state: State, browser_secret: str) -> None:
    """Raise RequestRefused unless the state was made for the browser that holds this value."""
    expected = forgery_protection(browser_secret)
    if not hmac.compare_digest(state.rfp.encode(), expected.encode()):
        raise RequestRefused(
            "this sign-in was begun in another browser", code="state_other_browser"
        )
