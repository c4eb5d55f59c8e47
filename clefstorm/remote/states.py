"""Where a remote session stands.

LAW: names only. Source: the states of the Diffusion client, for the names.
"""

from __future__ import annotations

from enum import StrEnum


class SessionState(StrEnum):
    """initialising → connecting → connected (active) ⇄ recovering → closed."""

    INITIALISING = "initialising"
    CONNECTING = "connecting"
    CONNECTED_ACTIVE = "connected_active"
    RECOVERING_RECONNECT = "recovering_reconnect"
    CLOSED_BY_CLIENT = "closed_by_client"
    CLOSED_BY_SERVER = "closed_by_server"
    CLOSED_FAILED = "closed_failed"

    @property
    def connected(self) -> bool:
        return self is SessionState.CONNECTED_ACTIVE

    @property
    def recovering(self) -> bool:
        return self is SessionState.RECOVERING_RECONNECT

    @property
    def closed(self) -> bool:
        return self.value.startswith("closed")
