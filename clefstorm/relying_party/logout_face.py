"""The half of the relying party's face that ends sessions for their users and their providers.

LAW: as party: promises stand here, the work is done in logouts.
Source: OpenID Connect RP-Initiated, Back-Channel and Front-Channel Logout 1.0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from clefstorm.relying_party.logouts import Logouts
from clefstorm.relying_party.outcomes import LogoutStart


class LogoutFace(ABC):
    """What RelyingParty promises of logouts."""

    _logouts: Logouts

    @abstractmethod
    def _start(self) -> None:
        """Begin to hear of other processes, at the first call of all."""

    async def log_out(self, session_id: str | None, *, return_to: str | None = "/") -> LogoutStart:
        """End the browser's session here, then say how to end it at the provider.

        A provider that can't be reached does not keep the user signed in: the local end stands.
        """
        self._start()
        return await self._logouts.log_out(session_id, return_to=return_to)

    def finish_logout(self, state: str | None, cookies: Mapping[str, str]) -> str:
        """Return the local path to go to after the provider's logout, "/" when none is known."""
        return self._logouts.finish(state, cookies)

    async def receive_logout(self, logout_token: str) -> int:
        """Judge a logout token and end the sessions it speaks of; return how many.

        The same token again ends nothing (0). Raises ProtocolViolation or RequestRefused for one
        that is not good, TransportError when the keys can't be had, StoreUnavailable.
        """
        self._start()
        return await self._logouts.receive(logout_token)

    async def receive_clef_logout(self, logout_token: str, alias: str | None = None) -> int:
        """Exchange the token of Clef's logout webhook and end the sessions of its user.

        ``alias`` None means the only Clef alias. Returns how many ended; the same token again
        ends nothing (0). Raises RequestRefused, ClefAPIError, ProtocolViolation, TransportError
        or StoreUnavailable.
        """
        self._start()
        return await self._logouts.receive_clef(logout_token, alias)

    async def receive_frontchannel_logout(self, iss: str, sid: str) -> int:
        """End the sessions of the provider's session ``sid``; return how many there were.

        Whoever knows the sid may ask for it, so only aliases with ``frontchannel_logout`` are
        meant. Raises RequestRefused when none of them is of this issuer, and StoreUnavailable.
        """
        self._start()
        return await self._logouts.receive_frontchannel(iss, sid)
