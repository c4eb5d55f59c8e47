"""Ending the remote sessions of a principal, in every process that shares the bus.

LAW: the authenticator is asked at the beginning of a session alone, so a change of its mind is
told here: first let it refuse, then end what there is.

Source: DESIGN, section 10 (no session that can't be revoked).
"""

from __future__ import annotations

from clefstorm.bus import AsyncBus, Subscription
from clefstorm.bus.socket_frames import CloseCode
from clefstorm.errors import BusError


async def end_remote_sessions(bus: AsyncBus, principal: str) -> None:
    """End all remote sessions of this principal, those without a connection too.

    Their clients are told and don't come back by themselves; one that asks anew is judged by the
    authenticator, so let that refuse before. Raises BusClosed.
    """
    await bus.publish(_key(principal), None)


def watch_principal(bus: AsyncBus, principal: str) -> Subscription:
    """Register for `end_remote_sessions`. Raises BusClosed."""
    return bus.subscribe([_key(principal)])


async def until_revoked(watching: Subscription) -> tuple[CloseCode, str]:
    """Wait for it; the code and the reason with which the session ends."""
    try:
        await watching.next()
    except BusError as error:
        return CloseCode.GOING_AWAY, error.code
    return CloseCode.REVOKED, "revoked"


def _key(principal: str) -> tuple[str, str, str]:
    return ("clefstorm", "remote", principal)
