"""The remote session: the bus of a server, from another process.

LAW: speaks the documented frames and nothing else; imports no handler and no relying party.

    states      where a session stands
    link        one connection: opening it, and reading frames
    greeting    the first frame, and what is checked before
    channel     requests and answers, over whichever connection there is
    remote_bus  the verbs of the bus over a channel
    session     Session: the whole, and coming back
"""

from __future__ import annotations

from clefstorm.protocol.credentials import Credentials, CredentialsType
from clefstorm.remote.remote_bus import RemoteBus, RemoteSubscription
from clefstorm.remote.session import Services, Session
from clefstorm.remote.states import SessionState

__all__ = [
    "Credentials",
    "CredentialsType",
    "RemoteBus",
    "RemoteSubscription",
    "Services",
    "Session",
    "SessionState",
]
