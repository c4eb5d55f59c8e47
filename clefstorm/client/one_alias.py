"""What the two clients are made of: a provider, its settings, and a runner of flows.

LAW: settings are judged when a client is made, and not at its first login.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from clefstorm.errors import ConfigurationError
from clefstorm.keys import Key, KeyList
from clefstorm.protocol.eternaltwin import EternaltwinAPI
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.redirects import follow_redirects
from clefstorm.providers import EternaltwinProvider, Provider
from clefstorm.transport import AsyncRunner, ConnectionManager, check_deadline

T = TypeVar("T")


class OneAlias:
    """What both clients are made of.

    ``timeout`` is in seconds, for each single request; ``deadline`` bounds each method as a
    whole. ``state_key`` signs states, the first that can of a KeyList, all of which are accepted;
    None leaves that to whoever calls ``begin_login``. ``verify`` is True, False (never in
    production) or the path of a CA file. With ``allow_redirects`` a GET of a flow follows
    redirects within its origin, five at most; nothing else ever does. ``manager`` gives the
    connections (AsyncConnections, also of a Client), asked by origin and NO_AUTH; it decides
    ``verify`` and ``timeout`` then, and stays open. None: connections of the client's own.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        alias: str = "default",
        state_key: Key | KeyList | None = None,
        timeout: float | tuple[float, float] | None = None,
        deadline: float = 10.0,
        verify: bool | str = True,
        allow_redirects: bool = False,
        clock: Callable[[], float] = time.time,
        manager: ConnectionManager | None = None,
    ) -> None:
        if not isinstance(allow_redirects, bool):
            raise ConfigurationError(
                "allow_redirects is True or False (in TOML and in variables true or false)",
                code="allow_redirects_invalid",
            )
        self.state_keys = _rotation(state_key)
        """The keys that may have signed a state; the first signs. Empty without ``state_key``."""
        self.provider = provider
        self.alias = alias
        self.state_key = state_key
        self.clock = clock
        self._allow_redirects = allow_redirects
        self._deadline = check_deadline(deadline)
        self._runner = AsyncRunner(verify=verify, timeout=timeout, clock=clock, manager=manager)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.alias!r} of {self.provider.issuer}>"

    def _prepared(self, flow: Flow[T]) -> Flow[T]:
        return follow_redirects(flow) if self._allow_redirects else flow

    def _users_api(self) -> EternaltwinAPI:
        if not isinstance(self.provider, EternaltwinProvider):
            raise ConfigurationError(
                "only an Eternaltwin alias has calls about users",
                code="user_calls_unsupported",
                alias=self.alias,
            )
        return self.provider.api


def _rotation(state_key: Key | KeyList | None) -> tuple[Key, ...]:
    """Return the keys of an alias, first the one that signs."""
    if state_key is None:
        return ()
    held = tuple(state_key) if isinstance(state_key, KeyList) else (state_key,)
    signing = [key for key in held if isinstance(key, Key) and key.can_sign]
    if not signing:
        raise ConfigurationError(
            "state_key is a key of clefstorm.keys that can sign: a secret, or a private key; or a "
            "KeyList of keys, of which the first that can sign signs",
            code="state_key_invalid",
        )
    return (signing[0], *(key for key in held if key is not signing[0]))
