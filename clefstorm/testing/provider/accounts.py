"""The people whom the embedded provider knows.

LAW: nobody here is real; passwords are in plain sight because they are a test's.
Claims' names: OpenID Connect Core 1.0, sections 5.1 and 5.4.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SCOPES = {
    "profile": ("name", "given_name", "family_name", "preferred_username", "picture", "locale"),
    "email": ("email", "email_verified"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user. ``sub`` None makes a stable one of the username, and never the same text.

    ``claims`` are added to, or replace, what the provider says under the scope profile.
    """

    username: str
    password: str = field(repr=False)
    name: str | None = None
    email: str | None = None
    picture: str | None = field(default=None, repr=False)
    sub: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sub:
            # An application that mistakes the username for the subject shall notice.
            digest = hashlib.sha256(self.username.encode()).hexdigest()
            object.__setattr__(self, "sub", f"sub-{digest[:16]}")

    @property
    def shown_name(self) -> str:
        """The name where there is one, else the username."""
        return self.name or self.username

    @property
    def clef_id(self) -> int:
        """The integer under which the Clef API knows the account."""
        return 1 + int(hashlib.sha256(self.sub.encode()).hexdigest()[:8], 16)

    def has_password(self, password: str) -> bool:
        """Return whether this is the password, in constant time."""
        return hmac.compare_digest(self.password.encode(), password.encode())

    def claims_for(self, scope: Sequence[str]) -> dict[str, Any]:
        """Return the claims that these scope values release; sub is always among them."""
        given, _, family = (self.name or "").rpartition(" ")
        known: dict[str, Any] = {
            "name": self.name,
            "given_name": given or None,
            "family_name": family or None,
            "preferred_username": self.username,
            "picture": self.picture,
            "locale": "en",
            "email": self.email,
            "email_verified": None if self.email is None else True,
        }
        released: dict[str, Any] = {"sub": self.sub}
        for value, names in _SCOPES.items():
            if value in scope:
                released |= {name: known[name] for name in names if known[name] is not None}
        if "profile" in scope:
            released |= self.claims
        return released


def _portrait(initial: str, colour: str) -> str:
    """Return a small picture as a data URL, so that no page needs the network."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48">'
        f'<rect width="48" height="48" rx="24" fill="{colour}"/>'
        '<text x="24" y="32" text-anchor="middle" font-family="sans-serif" font-size="22" '
        f'fill="#fff">{initial}</text></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def demo_accounts() -> tuple[Account, ...]:
    """Return alice, bob, carol and dave; each one's password is the username and "-secret"."""
    people = (
        ("alice", "Alice Archer", "#7c3aed"),
        ("bob", "Bob Baker", "#0369a1"),
        ("carol", "Carol Carver", "#be185d"),
        ("dave", "Dave Dyer", "#047857"),
    )
    return tuple(
        Account(
            username=username,
            password=f"{username}-secret",
            name=name,
            email=f"{username}@example.com",
            picture=_portrait(name[0], colour),
        )
        for username, name, colour in people
    )
