"""How a test makes the embedded provider misbehave.

LAW: the provider is correct until a test puts something into one of these two tables, and
correct again when it is taken out.
"""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from clefstorm.errors import ConfigurationError
from clefstorm.keys import Key

V = TypeVar("V")

TAMPERED = (
    "discovery",
    "jwks",
    "authorize",
    "token",
    "userinfo",
    "revoke",
    "par",
    "introspect",
    "access_token",
    "id_token",
    "logout_token",
    "clef_authorize",
    "clef_info",
    "clef_logout",
    "eternaltwin_token",
    "eternaltwin_self",
    "eternaltwin_users",
)
"""What ``Provider.tamper`` may name."""

ENDPOINTS = (
    "discovery",
    "jwks",
    "authorize",
    "token",
    "userinfo",
    "revoke",
    "par",
    "introspect",
    "end_session",
    "clef_authorize",
    "clef_info",
    "clef_logout",
    "eternaltwin_token",
    "eternaltwin_self",
    "eternaltwin_users",
)
"""What ``Provider.answer_instead`` may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer in place of the true one. ``body``: bytes, text, or a mapping (as JSON).

    Four ways to keep a caller waiting, until it gives up: with ``hang`` nothing is ever sent;
    with ``drip`` the body comes a byte at a time, with so many seconds in between; with
    ``endless`` the body begins anew for ever; with ``cut`` the connection is closed before the
    last byte.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | Mapping[str, Any] = b""
    hang: bool = False
    drip: float | None = None
    endless: bool = False
    cut: bool = False

    def content(self) -> bytes:
        """Return the body as bytes."""
        if isinstance(self.body, Mapping):
            return json.dumps(self.body).encode()
        return self.body.encode() if isinstance(self.body, str) else self.body


@dataclass(slots=True)
class TokenDraft:
    """An id token or logout token before it is signed: change what you like.

    ``header`` adds members or replaces them, and leaves out those that are None; ``payload`` is
    signed as it stands, in place of the claims.
    """

    claims: dict[str, Any]
    key: Key
    typ: str | None
    header: dict[str, Any] = field(default_factory=dict)
    payload: bytes | None = None

    @property
    def signing_input(self) -> str:
        """Header and payload in the compact form, as they will be signed."""
        header = {"alg": self.key.alg, "typ": self.typ, "kid": self.key.kid, **self.header}
        named = {name: value for name, value in header.items() if value is not None}
        payload = _json(self.claims) if self.payload is None else self.payload
        return f"{base64url(_json(named))}.{base64url(payload)}"

    def sign(self) -> str:
        """Return the token, signed by ``key``."""
        return self.signed_with(self.key.sign(self.signing_input.encode()))

    def signed_with(self, signature: bytes) -> str:
        """Return the token with a signature from elsewhere, good or not."""
        return f"{self.signing_input}.{base64url(signature)}"


def base64url(value: bytes) -> str:
    """Encode as JOSE writes it (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class FaultTable(dict[str, V]):
    """A dict that knows its keys, so that a misspelled fault is not a silent one."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names

    def __setitem__(self, name: str, value: V) -> None:
        if name not in self._names:
            raise ConfigurationError(
                "there is nothing of this name to tamper with",
                code="fault_unknown",
                expected=", ".join(self._names),
                got=name,
            )
        super().__setitem__(name, value)


Tamper = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A misbehaviour with a name: ``says`` in words, ``hook`` in deed.

    ``at`` are the places where it can be switched on, the usual one first. ``also`` are hooks
    for other places that belong to it, such as a key that has to be published.
    """

    says: str
    at: tuple[str, ...]
    hook: Tamper
    also: Mapping[str, Tamper] = field(default_factory=dict)


async def tampered(table: Mapping[str, Tamper], name: str, value: Any) -> Any:
    """Return the value after the test's hook, or as it is when there is none.

    A hook is given the value, may change it in place, and may be a coroutine function; what it
    returns, unless None, takes the value's place.
    """
    hook = table.get(name)
    if hook is None:
        return value
    result = hook(value)
    if inspect.isawaitable(result):
        result = await result
    return value if result is None else result
