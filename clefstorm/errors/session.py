"""A login session has ended, has changed, or can't be read."""

from __future__ import annotations

from clefstorm.errors.error import ClefStormError


class SessionError(ClefStormError):
    """Something about a login session."""

    default_code = "session"


class SessionEnded(SessionError):
    """The session was revoked or has expired."""

    default_code = "session_ended"


class SessionConflict(SessionError):
    """A newer version of the session was saved meanwhile: read it again."""

    default_code = "session_conflict"


class StoreUnavailable(SessionError):
    """The session store can't be reached, so nothing is known; deny, and answer 503."""

    default_code = "store_unavailable"
