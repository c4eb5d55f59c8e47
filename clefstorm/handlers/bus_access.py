"""What a remote principal may touch on the bus, and how much of the server it may take.

LAW: values and their judgement; knows no connection. Nothing is allowed unless it was said.

Source: DESIGN, section 6, and law 8 (bounds).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias

from clefstorm.bus.socket_frames import are_properties, is_ours
from clefstorm.errors import BusError, ConfigurationError

KeyRule: TypeAlias = Sequence[str] | Callable[[str | int], bool]
"""Prefixes of str keys ("" allows every str key, and an int key is never meant), or a predicate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusAccess:
    """What an authenticator allows: which keys may be told, and which may be listened to.

    ``notify`` is for notify, notifyall and publish; ``wait`` for waitforkey, waitforkeys and
    subscribe; each a sequence of prefixes or a predicate, and by default nothing.
    ``properties``: fixed properties that the session gets; their names begin with ``$``.
    The library's own keys are never allowed. Raises ConfigurationError.
    """

    notify: KeyRule = ()
    wait: KeyRule = ()
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("notify", "wait"):
            rule = getattr(self, name)
            if isinstance(rule, str) or not (
                callable(rule) or all(isinstance(prefix, str) for prefix in rule)
            ):
                raise ConfigurationError(
                    f"{name} is a sequence of prefixes, or a predicate of a key", code="bus_access"
                )
        fixed = dict(self.properties)
        if not are_properties(fixed) or not all(text.startswith("$") for text in fixed):
            raise ConfigurationError(
                "fixed properties are few, short, and begin with $", code="bus_access"
            )

    def check_notify(self, key: str | int) -> None:
        """Raise BusError (``key_forbidden``) unless the principal may notify this key."""
        if is_ours(key) or not _allowed(self.notify, key):
            _forbid(key, "notified")

    def check_wait(self, keys: Sequence[str | int]) -> None:
        """Raise BusError (``key_forbidden``) unless the principal may wait for all these keys."""
        for key in keys:
            if is_ours(key) or not _allowed(self.wait, key):
                _forbid(key, "waited for")


def _allowed(rule: KeyRule, key: str | int) -> bool:
    if callable(rule):
        return bool(rule(key))
    return isinstance(key, str) and key.startswith(tuple(rule))


def _forbid(key: str | int, how: str) -> NoReturn:
    raise BusError(
        f"this key may not be {how} by this principal: the server's authenticator decides that",
        code="key_forbidden",
        key=key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BusLimits:
    """How much of the server remote sessions may take; counts are for each session unless said."""

    grace: float = 30.0  # seconds for which a session without a connection is kept
    handshake: float = 10.0  # seconds from the connection to the session
    keep_alive: float = 20.0  # seconds between two pings of a connection
    largest_frame: int = 64 * 1024  # bytes
    sessions: int = 10_000  # of the whole endpoint, those without a connection too
    waits: int = 1000
    subscriptions: int = 100
    unacknowledged: int = 5000  # frames that the client has not acknowledged

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            kinds = (int, float) if name in ("grace", "handshake", "keep_alive") else (int,)
            if type(value) not in kinds or not 0 <= value < 1e9 or (name != "grace" and not value):
                raise ConfigurationError(
                    f"{name} must be a number above 0", code="bus_limits", got=value
                )
