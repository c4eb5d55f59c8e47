"""Sign-in for Tornado, and sign-out that every open browser learns of at once.

The names of everyday use; each is imported when it is first asked for (PEP 562), so that
whoever uses the bus alone loads no PyJWT. LAW: no code of its own but this.
"""

# The ring map. A file imports only from the lines above its own; siblings on one line never
# import each other; inside a folder the arrows go one way. tests/test_layers.py holds it.
#
#   errors                                      every exception
#   jws                                         what a key may sign and verify
#   keys | sealing | jwe                        signing keys | sealed records | encryption keys
#   protocol/                                   no I/O, no clock, no framework
#   providers/ | transport/ | bus/ | sessions/
#   client/                                     one alias in use
#   registry/                                   configure(): the only global state
#   relying_party/ | clef | eternaltwin         log in, log out, refresh | two APIs as clients
#   resource_server                             judge the access tokens of others
#   handlers/ | remote/                         HTTP to the relying party | the bus from afar
#   testing/                                    shipped: provider, browser, clock

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clefstorm.bus import AsyncBus, Notification
    from clefstorm.clef import ClefStorm, ClefWaveStyle
    from clefstorm.client import AsyncClient, Client
    from clefstorm.errors import (
        BusClosed,
        BusTimeoutError,
        ClefAPIError,
        ClefStormError,
        ConfigurationError,
        HTTPStatusError,
        LoginDenied,
        ProtocolViolation,
        ProviderError,
        SessionEnded,
        TransportError,
        URLError,
    )
    from clefstorm.handlers import (
        BearerMixin,
        BusAccess,
        UserMixin,
        authenticated,
        login_routes,
        requires,
        user_of,
        wave_button,
    )
    from clefstorm.keys import EdDSAKey, ES256Key, HS256Key, KeyList, PS256Key, RS256Key
    from clefstorm.registry import (
        async_connections,
        configure,
        configure_from_environment,
        configure_from_file,
        connections,
    )
    from clefstorm.relying_party import RelyingParty
    from clefstorm.remote import Credentials, Session
    from clefstorm.resource_server import AccessToken, ResourceServer
    from clefstorm.sessions import LoginSession, MemorySessionStore, SQLiteSessionStore
    from clefstorm.transport import (
        NO_AUTH,
        AsyncConnection,
        AsyncPodConnection,
        Bearer,
        ClientCredentials,
        Connection,
        ConnectionHook,
        ConnectionManager,
        PodConnection,
    )

__version__ = "1.0.0.dev0"

__all__ = [
    "NO_AUTH",
    "AccessToken",
    "AsyncBus",
    "AsyncClient",
    "AsyncConnection",
    "AsyncPodConnection",
    "Bearer",
    "BearerMixin",
    "BusAccess",
    "BusClosed",
    "BusTimeoutError",
    "ClefAPIError",
    "ClefStorm",
    "ClefStormError",
    "ClefWaveStyle",
    "Client",
    "ClientCredentials",
    "ConfigurationError",
    "Connection",
    "ConnectionHook",
    "ConnectionManager",
    "Credentials",
    "ES256Key",
    "EdDSAKey",
    "HS256Key",
    "HTTPStatusError",
    "KeyList",
    "LoginDenied",
    "LoginSession",
    "MemorySessionStore",
    "Notification",
    "PS256Key",
    "PodConnection",
    "ProtocolViolation",
    "ProviderError",
    "RS256Key",
    "RelyingParty",
    "ResourceServer",
    "SQLiteSessionStore",
    "Session",
    "SessionEnded",
    "TransportError",
    "URLError",
    "UserMixin",
    "async_connections",
    "authenticated",
    "configure",
    "configure_from_environment",
    "configure_from_file",
    "connections",
    "login_routes",
    "requires",
    "user_of",
    "wave_button",
]

_HOMES = {
    "AccessToken": "clefstorm.resource_server",
    "AsyncBus": "clefstorm.bus",
    "AsyncClient": "clefstorm.client",
    "AsyncConnection": "clefstorm.transport",
    "AsyncPodConnection": "clefstorm.transport",
    "Bearer": "clefstorm.transport",
    "BearerMixin": "clefstorm.handlers",
    "BusAccess": "clefstorm.handlers",
    "BusClosed": "clefstorm.errors",
    "BusTimeoutError": "clefstorm.errors",
    "ClefAPIError": "clefstorm.errors",
    "ClefStorm": "clefstorm.clef",
    "ClefStormError": "clefstorm.errors",
    "ClefWaveStyle": "clefstorm.clef",
    "Client": "clefstorm.client",
    "ClientCredentials": "clefstorm.transport",
    "ConfigurationError": "clefstorm.errors",
    "Connection": "clefstorm.transport",
    "ConnectionHook": "clefstorm.transport",
    "ConnectionManager": "clefstorm.transport",
    "Credentials": "clefstorm.remote",
    "ES256Key": "clefstorm.keys",
    "EdDSAKey": "clefstorm.keys",
    "HS256Key": "clefstorm.keys",
    "HTTPStatusError": "clefstorm.errors",
    "KeyList": "clefstorm.keys",
    "LoginDenied": "clefstorm.errors",
    "LoginSession": "clefstorm.sessions",
    "MemorySessionStore": "clefstorm.sessions",
    "NO_AUTH": "clefstorm.transport",
    "Notification": "clefstorm.bus",
    "PS256Key": "clefstorm.keys",
    "PodConnection": "clefstorm.transport",
    "ProtocolViolation": "clefstorm.errors",
    "ProviderError": "clefstorm.errors",
    "RS256Key": "clefstorm.keys",
    "RelyingParty": "clefstorm.relying_party",
    "ResourceServer": "clefstorm.resource_server",
    "SQLiteSessionStore": "clefstorm.sessions",
    "Session": "clefstorm.remote",
    "SessionEnded": "clefstorm.errors",
    "TransportError": "clefstorm.errors",
    "URLError": "clefstorm.errors",
    "UserMixin": "clefstorm.handlers",
    "async_connections": "clefstorm.registry",
    "authenticated": "clefstorm.handlers",
    "configure": "clefstorm.registry",
    "configure_from_environment": "clefstorm.registry",
    "configure_from_file": "clefstorm.registry",
    "connections": "clefstorm.registry",
    "login_routes": "clefstorm.handlers",
    "requires": "clefstorm.handlers",
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
