"""What a store keeps for a signed-in browser.

LAW: a value, judged by nobody here but for its ends; its repr shows no claim and no token. The id
goes to the browser and nowhere else; the key, its hash, is the name for stores, logs and people.
Source: DESIGN section 7 (the project's docs/explanation/design).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.token_endpoint import Tokens


def new_session_id() -> str:
    """Return a new id of 256 random bits in base64url, 43 characters: the browser's secret."""
    return secrets.token_urlsafe(32)


def session_key(session_id: str) -> str:
    """Return the key of the session that has this id: base64url of its SHA-256.

    A store knows sessions by their keys alone. A key signs nobody in, so it may be shown.
    """
    digest = hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LoginSession:
    """A signed-in browser. All times are epoch seconds; change one with dataclasses.replace.

    ``alias``: the configured provider. ``iss``, ``sub``, ``sid``: who, and the provider's own
    session, None where it names none. ``claims``: of id token and userinfo. ``data``: the
    application's own. Both are JSON. ``authenticated``: when the id token was issued (its iat).
    ``seen``: the last activity. ``idle``: seconds without activity after which the session ends,
    None for never. ``expires``: when it ends in any case. ``version``: counted up by each save.
    ``login``: the name of the login that made it, None when it has none, and ``return_to``, the
    local path that this login led to: so that a reloaded callback goes there again.
    """

    key: str
    alias: str
    iss: str
    sub: str
    sid: str | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    tokens: Tokens | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    created: float
    authenticated: float
    seen: float
    idle: float | None
    expires: float
    version: int = 0
    login: str | None = None
    return_to: str = "/"

    def __repr__(self) -> str:
        return (
            f"LoginSession(alias={self.alias!r}, iss={self.iss!r}, sub={self.sub!r}, "
            f"key={self.key!r})"
        )

    @property
    def ends_at(self) -> float:
        """When it ends if nothing more happens; it is alive before this time, not at it."""
        if self.idle is None:
            return self.expires
        return min(self.expires, self.seen + self.idle)

    @property
    def name(self) -> str | None:
        """The claim of this name, None when it is absent or not text (Core 1.0, section 5.1)."""
        return self._text("name")

    @property
    def email(self) -> str | None:
        """The claim of this name, None when it is absent or not text. Maybe never verified."""
        return self._text("email")

    @property
    def picture(self) -> str | None:
        """The claim of this name, a URL from outside, None when it is absent or not text."""
        return self._text("picture")

    @property
    def preferred_username(self) -> str | None:
        """The claim of this name, None when it is absent or not text. It identifies nobody."""
        return self._text("preferred_username")

    def _text(self, claim: str) -> str | None:
        value = self.claims.get(claim)
        return value if isinstance(value, str) else None

    def to_record(self) -> bytes:
        """Return the session as JSON, tokens included: seal it.

        Raises ConfigurationError when ``data`` or ``claims`` hold what JSON does not have.
        """
        members = {
            "key": self.key,
            "alias": self.alias,
            "iss": self.iss,
            "sub": self.sub,
            "sid": self.sid,
            "claims": self.claims,
            "tokens": None if self.tokens is None else self.tokens.to_record(),
            "data": self.data,
            "created": self.created,
            "authenticated": self.authenticated,
            "seen": self.seen,
            "idle": self.idle,
            "expires": self.expires,
            "version": self.version,
            "login": self.login,
            "return_to": self.return_to,
        }
        try:
            return json.dumps(
                members, separators=(",", ":"), allow_nan=False, default=_plain
            ).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(
                "a session's claims and data are JSON: objects, lists, text, finite numbers, "
                "true, false, null",
                code="session_not_json",
                reason=error,
            ) from None

    @classmethod
    def from_record(cls, record: bytes, *, seen: float | None = None) -> LoginSession:
        """Return the session that ``to_record`` wrote; with ``seen`` in place of its own."""
        members = json.loads(record.decode("ascii"))
        if members["tokens"] is not None:
            members["tokens"] = Tokens.from_record(members["tokens"])
        if seen is not None:
            members["seen"] = seen
        return cls(**members)


def _plain(value: object) -> dict[Any, Any]:
    """Let json write any Mapping, a read-only one for instance."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)
