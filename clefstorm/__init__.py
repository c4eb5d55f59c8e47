"""Sign-in for Tornado, and sign-out that every open browser learns of at once.

The names of everyday use; each is imported when it is first asked for (PEP 562), so that
whoever uses the bus alone loads no PyJWT. LAW: no code of its own but this.
"""

# The ring map. A file imports only from the lines above its own; siblings on one line never
# import each other; inside a folder the arrows go one way. tests/test_layers.py holds it.
#
#   errors                                      every exception
#   jws                                         what a key may sign and verify
#   keys | sealing                              signing keys | sealed records and cookies
#   protocol/                                   no I/O, no clock, no framework
#   providers/ | transport/ | bus/ | sessions/
#   client                                      one alias in use
#   registry                                    configure(): the only global state
#   relying_party/ | clef                       log in, log out, refresh | one API as a client
#   handlers/ | remote/                         HTTP to the relying party | the bus from afar
#   testing/                                    shipped: provider, browser, clock

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clefstorm.bus import AsyncBus, Notification
    from clefstorm.clef import ClefStorm, ClefWaveStyle
    from clefstorm.client import AsyncClient
    from clefstorm.errors import (
        BusClosed,
        BusTimeoutError,
        ClefAPIError,
        ClefStormError,
        ConfigurationError,
        LoginDenied,
        ProtocolViolation,
        ProviderError,
        SessionEnded,
        TransportError,
    )
    from clefstorm.handlers import (
        BusAccess,
        UserMixin,
        authenticated,
        login_routes,
        user_of,
        wave_button,
    )
    from clefstorm.keys import EdDSAKey, ES256Key, HS256Key, PS256Key, RS256Key
    from clefstorm.registry import async_connections, configure
    from clefstorm.relying_party import RelyingParty
    from clefstorm.remote import Credentials, Session
    from clefstorm.sessions import LoginSession, MemorySessionStore, SQLiteSessionStore

__version__ = "1.0.0.dev0"

__all__ = [
    "AsyncBus",
    "AsyncClient",
    "BusAccess",
    "BusClosed",
    "BusTimeoutError",
    "ClefAPIError",
    "ClefStorm",
    "ClefStormError",
    "ClefWaveStyle",
    "ConfigurationError",
    "Credentials",
    "ES256Key",
    "EdDSAKey",
    "HS256Key",
    "LoginDenied",
    "LoginSession",
    "MemorySessionStore",
    "Notification",
    "PS256Key",
    "ProtocolViolation",
    "ProviderError",
    "RS256Key",
    "RelyingParty",
    "SQLiteSessionStore",
    "Session",
    "SessionEnded",
    "TransportError",
    "UserMixin",
    "async_connections",
    "authenticated",
    "configure",
    "login_routes",
    "user_of",
    "wave_button",
]

_HOMES = {
    "AsyncBus": "clefstorm.bus",
    "AsyncClient": "clefstorm.client",
    "BusAccess": "clefstorm.handlers",
    "BusClosed": "clefstorm.errors",
    "BusTimeoutError": "clefstorm.errors",
    "ClefAPIError": "clefstorm.errors",
    "ClefStorm": "clefstorm.clef",
    "ClefStormError": "clefstorm.errors",
    "ClefWaveStyle": "clefstorm.clef",
    "ConfigurationError": "clefstorm.errors",
    "Credentials": "clefstorm.remote",
    "ES256Key": "clefstorm.keys",
    "EdDSAKey": "clefstorm.keys",
    "HS256Key": "clefstorm.keys",
    "LoginDenied": "clefstorm.errors",
    "LoginSession": "clefstorm.sessions",
    "MemorySessionStore": "clefstorm.sessions",
    "Notification": "clefstorm.bus",
    "PS256Key": "clefstorm.keys",
    "ProtocolViolation": "clefstorm.errors",
    "ProviderError": "clefstorm.errors",
    "RS256Key": "clefstorm.keys",
    "RelyingParty": "clefstorm.relying_party",
    "SQLiteSessionStore": "clefstorm.sessions",
    "Session": "clefstorm.remote",
    "SessionEnded": "clefstorm.errors",
    "TransportError": "clefstorm.errors",
    "UserMixin": "clefstorm.handlers",
    "async_connections": "clefstorm.registry",
    "authenticated": "clefstorm.handlers",
    "configure": "clefstorm.registry",
    "login_routes": "clefstorm.handlers",
    "user_of": "clefstorm.handlers",
    "wave_button": "clefstorm.handlers",
}


if not TYPE_CHECKING:  # else a type checker would believe in every misspelled name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
