"""Our side of a login: clients, session store and bus, joined without any web framework."""

from clefstorm.relying_party.outcomes import (
    CookieNames,
    Happening,
    LoginDeclined,
    LoginDone,
    LoginStart,
    LogoutStart,
)
from clefstorm.relying_party.party import RelyingParty
from clefstorm.relying_party.telling import Listener, tell

__all__ = [
    "CookieNames",
    "Happening",
    "Listener",
    "LoginDeclined",
    "LoginDone",
    "LoginStart",
    "LogoutStart",
    "RelyingParty",
    "tell",
]
