"""The contract of every session store; one test holds them all to it.

LAW: the store is the truth. What it answered has happened: a revoked session is dead for every
process that reads from then on, and nothing brings it back, neither a save nor a login that was
under way. Ids never come here, only their keys. A store rings no bell: whoever revokes tells.

Every method raises StoreUnavailable when the store can't be reached, and then nothing is known:
a write may have happened or not. A caller that is cancelled has perhaps written, too.
Source: DESIGN section 7; OpenID Connect Back-Channel Logout 1.0, section 2.7.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from clefstorm.errors import ConfigurationError, SessionConflict, SessionEnded, StoreUnavailable
from clefstorm.sessions.record import LoginSession

_REASON = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class Revocation:
    """The session with this key was ended for this reason."""

    key: str
    reason: str


class SessionStore(ABC):
    """Keeps login sessions, tombstones of ended ones, and names that are used once.

    A tombstone remembers a logout that may be faster than the login it ends. Times are epoch
    seconds. ``reason`` is 1 to 40 characters of a-z and _ (ConfigurationError for any other).
    """

    @abstractmethod
    async def mark(self) -> int:
        """Return where the store is in the order of its logouts: for ``create``, later."""

    @abstractmethod
    async def create(self, session: LoginSession, *, mark: int | None = None) -> LoginSession:
        """Keep a new session, of a login that was at work since ``mark`` (None: since just now).

        Raises SessionEnded (session_tombstoned) when its (iss, sid) was revoked, or its (iss,
        sub) by a logout issued strictly later than ``session.authenticated``, or by one of
        unknown issue later than ``mark``; (session_expired) when it is past its end;
        SessionConflict (session_exists) when its key is in use.
        """

    @abstractmethod
    async def read(self, key: str) -> LoginSession | None:
        """Return the session; None when it is unknown, revoked or past its end."""

    @abstractmethod
    async def save(self, session: LoginSession) -> LoginSession:
        """Replace the session if nobody saved it since it was read; return it as it is now.

        That is with ``version`` counted up, and with the later ``seen``. iss and sub stay
        (ConfigurationError). Raises SessionEnded for one that is not alive, or whose sid was
        revoked, SessionConflict when the versions differ.
        """

    @abstractmethod
    async def touch(self, key: str, seen: float) -> None:
        """Note activity: ``seen`` never moves backwards, and the version stays.

        Does nothing for a session that is not alive.
        """

    @abstractmethod
    async def revoke(self, key: str, *, reason: str) -> LoginSession | None:
        """End one session; return it, or None when it was not alive (so it ends only once)."""

    @abstractmethod
    async def revoke_sid(
        self, iss: str, sid: str, *, sub: str | None = None, reason: str, until: float
    ) -> list[LoginSession]:
        """End the provider's session; return ours that this ended, newest first.

        With ``sub`` only those of this subject. None can be created again before ``until``.
        """

    @abstractmethod
    async def revoke_sub(
        self, iss: str, sub: str, *, issued: float | None, reason: str, until: float
    ) -> list[LoginSession]:
        """End all sessions of a subject, whatever their sid; return them, newest first.

        Before ``until`` none can be created from an id token issued before ``issued``, which is
        by the provider's clock. None: the provider did not say it, so no clock is believed, and
        what none can be created from is a ``mark`` of before this call.
        """

    @abstractmethod
    async def list_sub(self, iss: str, sub: str) -> list[LoginSession]:
        """Return the subject's sessions that are alive, newest first."""

    @abstractmethod
    async def list_sid(self, iss: str, sid: str) -> list[LoginSession]:
        """Return our sessions of the provider's session that are alive, newest first."""

    @abstractmethod
    async def put_once(self, name: str, *, expires: float, value: str = "") -> bool:
        """Put a name that is not there: True for exactly one caller until it expires.

        Over all processes. For used states, seen jtis and leases; the name itself is not kept,
        only its hash.
        """

    @abstractmethod
    async def extend(
        self, name: str, *, value: str, expires: float, new_value: str | None = None
    ) -> bool:
        """Let a name expire at another time; False unless it is there with this value.

        ``new_value`` takes the value's place, None leaves it.
        """

    @abstractmethod
    async def take(self, name: str) -> str | None:
        """Remove a name and return its value; None when it is absent or expired."""

    @abstractmethod
    async def peek(self, name: str) -> str | None:
        """Return a name's value and leave it; None when it is absent or expired."""

    async def take_expired(self, most: int) -> list[LoginSession]:
        """Remove up to ``most`` sessions that are past their end, and return them.

        Each is returned to one caller over all processes. A store whose entries vanish by
        themselves has none to give.
        """
        return []

    @abstractmethod
    async def prune(self) -> int:
        """Drop what is past its end, in small steps; return how many entries went."""

    @abstractmethod
    def start(self, on_revoked: Callable[[Revocation], None]) -> None:
        """Begin to tell, on the running loop, of sessions that other processes end.

        Each once; those that this store object ended never, nor what was over before its first
        look. Call it once. An exception of ``on_revoked`` is logged and stops nothing.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what is queued and let go; everything raises StoreUnavailable afterwards."""


def check_reason(reason: str) -> None:
    """Raise ConfigurationError for a reason that logs and metrics could not use as a word."""
    if not _REASON.fullmatch(reason):
        raise ConfigurationError(
            "a reason is 1 to 40 characters of a-z and _", code="reason_invalid", got=reason
        )


# What stores raise, so that they all say it alike.


def session_tombstoned() -> SessionEnded:
    """The answer to a session that was logged out before it was there."""
    return SessionEnded("a logout reached us before this login", code="session_tombstoned")


def session_expired() -> SessionEnded:
    """The answer to a new session that is past its end."""
    return SessionEnded("the session is past its end", code="session_expired")


def session_ended() -> SessionEnded:
    """The answer to a save of a session that is no longer alive."""
    return SessionEnded("the session was revoked or has expired")


def session_exists() -> SessionConflict:
    """The answer to a new session whose key is in use."""
    return SessionConflict("a session with this key is there already", code="session_exists")


def session_conflict(session: LoginSession, version: int) -> SessionConflict:
    """The answer to a save that comes too late."""
    return SessionConflict(
        "the session was saved by somebody else meanwhile", expected=version, got=session.version
    )


def subject_changed() -> ConfigurationError:
    """The answer to a save that would give the session to somebody else."""
    return ConfigurationError(
        "a saved session keeps its iss and sub; create a new one for another user",
        code="session_subject_changed",
    )


def store_closed() -> StoreUnavailable:
    """The answer to everything after close."""
    return StoreUnavailable("the session store is closed", code="store_closed")
