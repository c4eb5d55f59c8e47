"""The application's terms for a login: who may come in, and when a session ends.

LAW: judged when the relying party is made, and not at its first login; holds no session.
Source: DESIGN, section 7 (the ends of a session).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clefstorm.errors import ConfigurationError
from clefstorm.sessions import LoginSession

OnLogin = Callable[[LoginSession], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginTerms:
    """See RelyingParty for the four. Raises ConfigurationError: ``on_login_invalid``,
    ``idle_invalid``, ``lifetime_invalid``.
    """

    on_login: OnLogin | None
    idle: float | None
    lifetime: float
    remember: bool

    def __post_init__(self) -> None:
        if self.on_login is not None and not callable(self.on_login):
            raise ConfigurationError(
                "on_login is a function that takes a LoginSession, or None",
                code="on_login_invalid",
                got=type(self.on_login).__name__,
            )
        if self.idle is not None and not _is_duration(self.idle):
            raise ConfigurationError(
                "idle is in seconds, more than 0, or None for no such end",
                code="idle_invalid",
                got=self.idle,
            )
        if not _is_duration(self.lifetime):
            raise ConfigurationError(
                "lifetime is in seconds, more than 0", code="lifetime_invalid", got=self.lifetime
            )

    async def accept(self, session: LoginSession) -> LoginSession:
        """Return the session with the data that ``on_login`` gave it.

        Raises what ``on_login`` raises, and ConfigurationError (``on_login_answer``) when it
        returns neither a mapping nor None.
        """
        if self.on_login is None:
            return session
        data = self.on_login(session)
        if inspect.isawaitable(data):
            data = await data
        if data is None:
            return session
        if not isinstance(data, Mapping):
            raise ConfigurationError(
                "on_login returns a mapping, which becomes session.data, or None; to refuse "
                "somebody it raises LoginDenied",
                code="on_login_answer",
                got=type(data).__name__,
            )
        return replace(session, data=dict(data))


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
