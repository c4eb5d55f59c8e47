"""Pending logins and logouts, sealed into short-lived cookies: visitors cost the store nothing.

One cookie for each login, named after its state, so that many tabs can sign in at once; they are
capped in number, and the oldest is dropped.
LAW: nothing is believed that the sealer does not open for this very state.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from clefstorm.errors import SealBroken
from clefstorm.protocol.authorization import PendingLogin
from clefstorm.sealing import Sealer

MOST_PENDING = 6
"""Logins that one browser may have open."""
MOST_PENDING_BYTES = 5000
"""Bytes of their cookies: many servers take no more than 8 kB of headers, for all cookies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginTicket:
    """A pending login with what the application wanted of it.

    ``previous`` is the key of the session that the browser had when it began, None without one.
    """

    alias: str
    pending: PendingLogin
    return_to: str
    previous: str | None


def _digest(state: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(state.encode()).digest()).decode().rstrip("=")


def state_name(state: str) -> str:
    """Return the name under which the store remembers that this state was used."""
    return f"state:{_digest(state)}"


def _seal(sealer: Sealer, record: Mapping[str, object], *, purpose: str, context: str) -> str:
    plain = json.dumps(record, separators=(",", ":")).encode()
    sealed = sealer.seal(plain, purpose=purpose, context=context)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _open(sealer: Sealer, value: str, *, purpose: str, context: str) -> dict[str, object] | None:
    try:
        sealed = base64.urlsafe_b64decode(value.encode("ascii") + b"=" * (-len(value) % 4))
        record = json.loads(sealer.open(sealed, purpose=purpose, context=context))
    except (SealBroken, binascii.Error, UnicodeEncodeError):
        return None
    return record if isinstance(record, dict) else None


class PendingLogins:
    """Writes and reads the cookies of pending logins; ``prefix`` begins their names."""

    def __init__(self, sealer: Sealer, *, prefix: str) -> None:
        self._sealer = sealer
        self._prefix = prefix

    def cookie_name(self, state: str) -> str:
        """Return the name of the cookie that belongs to a state."""
        return f"{self._prefix}{_digest(state)[:16]}"

    def write(self, ticket: LoginTicket, state: str, *, now: float) -> str:
        """Return the cookie's value."""
        pending = ticket.pending
        record = {
            "alias": ticket.alias,
            "return_to": ticket.return_to,
            "previous": ticket.previous,
            "redirect_uri": pending.redirect_uri,
            "nonce": pending.nonce,
            "code_verifier": pending.code_verifier,
            "browser_secret": pending.browser_secret,
            "max_age": pending.max_age,
            "prompt": pending.prompt,
            "acr_values": pending.acr_values,
        }
        sealed = _seal(self._sealer, record, purpose="login", context=_digest(state))
        # The time in front is only for finding the oldest; nothing is judged by it.
        return f"{int(now)}.{sealed}"

    def read(self, cookies: Mapping[str, str], state: str) -> LoginTicket | None:
        """Return the login that began with this state in this browser, None when there is none."""
        value = cookies.get(self.cookie_name(state), "").partition(".")[2]
        record = _open(self._sealer, value, purpose="login", context=_digest(state))
        if record is None:
            return None
        try:
            alias, return_to, previous = (
                record.pop(name) for name in ("alias", "return_to", "previous")
            )
            pending = PendingLogin(**record)  # type: ignore[arg-type]
        except (KeyError, TypeError):
            return None  # sealed by another version of us
        return LoginTicket(
            alias=str(alias),
            pending=pending,
            return_to=str(return_to),
            previous=None if previous is None else str(previous),
        )

    def overfull(self, cookies: Mapping[str, str]) -> tuple[str, ...]:
        """Return the names of the oldest cookies that have to go before one more is set."""

        def began(name: str) -> int:
            digits = cookies[name].partition(".")[0]
            return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else 0

        ours = sorted((name for name in cookies if name.startswith(self._prefix)), key=began)
        kept, size = len(ours), 0
        for place, name in enumerate(reversed(ours)):
            size += len(name) + len(cookies[name])
            if place >= MOST_PENDING - 1 or size > MOST_PENDING_BYTES:
                kept = place
                break
        return tuple(ours[: len(ours) - kept])


def write_logout(sealer: Sealer, state: str, *, return_to: str) -> str:
    """Return the value of the cookie that remembers where a logout at the provider returns to."""
    return _seal(sealer, {"return_to": return_to}, purpose="logout", context=state)


def read_logout(sealer: Sealer, value: str | None, state: str | None) -> str | None:
    """Return the path that belongs to this state in this browser, None when there is none."""
    if not value or not state:
        return None
    record = _open(sealer, value, purpose="logout", context=state)
    return None if record is None else str(record["return_to"])
