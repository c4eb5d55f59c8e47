"""All routes of one relying party, ready for any Application.

LAW: (pattern, class) pairs and nothing more, for hosts that build their own Application take no
others; what a class needs is bound to it here.
"""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import urlsplit

from clefstorm.errors import ConfigurationError
from clefstorm.handlers.audit import write_audit_line
from clefstorm.handlers.bus_access import BusLimits
from clefstorm.handlers.bus_sessions import BusSessions
from clefstorm.handlers.bus_socket import Authenticator, BusSocketHandler
from clefstorm.handlers.handler import Handler
from clefstorm.handlers.live import EventsHandler, PollHandler
from clefstorm.handlers.login import CallbackHandler, LoginHandler
from clefstorm.handlers.logout import (
    BackchannelLogoutHandler,
    ClefLogoutHandler,
    FrontchannelLogoutHandler,
    LoggedOutHandler,
    LogoutHandler,
)
from clefstorm.handlers.script import ScriptHandler
from clefstorm.handlers.tabs import Tabs
from clefstorm.handlers.whoami import MeHandler
from clefstorm.relying_party import RelyingParty

_log = logging.getLogger("clefstorm.handlers")

_HANDLERS: dict[str, type[Handler]] = {
    "login": LoginHandler,
    "callback": CallbackHandler,
    "logout": LogoutHandler,
    "logged-out": LoggedOutHandler,
    "backchannel-logout": BackchannelLogoutHandler,
    "frontchannel-logout": FrontchannelLogoutHandler,
    "clef-logout": ClefLogoutHandler,
    "poll": PollHandler,
    "events": EventsHandler,
    "me": MeHandler,
    "clefstorm.js": ScriptHandler,
}


def login_routes(
    rp: RelyingParty,
    prefix: str,
    *,
    poll_hold: float = 25.0,
    keep_alive: float = 20.0,
    tabs: Tabs | None = None,
    bus_access: Authenticator | None = None,
    bus_limits: BusLimits | None = None,
) -> list[tuple[str, type[Handler]]]:
    """Return the (pattern, handler class) pairs to mount: ``[(r"/", Home), *login_routes(…)]``.

    ``prefix`` is a path such as "/auth"; below it are login, callback (the redirect_uri), logout,
    logged-out (the post_logout_redirect_uri), backchannel-logout, frontchannel-logout,
    clef-logout, poll, events, me and clefstorm.js. ``poll_hold``: seconds for which a poll without
    news is held; ``keep_alive``: seconds between two signs of life of an event stream; ``tabs``
    counts who has which open, None makes one that nobody sees. ``bus_access``: who may use the bus
    from another process or from a page, ``async (principal, credentials, handler) -> BusAccess |
    None``; "bus" is mounted only when it is given, within ``bus_limits`` (None: the defaults). Also
    writes the audit log from now on. May come before ``clefstorm.configure``; logs a warning when
    there are providers and the redirect_uri of none leads here. Raises ConfigurationError for a
    prefix that is no path.
    """
    stem = prefix.rstrip("/")
    if stem and not stem.startswith("/"):
        raise ConfigurationError('a prefix is a path such as "/auth"', code="prefix", got=prefix)
    _look_for_the_callback(rp, f"{stem}/callback")
    bound: dict[str, Any] = {
        "relying_party": rp,
        "poll_hold": poll_hold,
        "keep_alive": keep_alive,
        "tabs": Tabs() if tabs is None else tabs,
    }
    handlers = dict(_HANDLERS)
    if bus_access is not None:
        handlers["bus"] = BusSocketHandler
        bound["authenticate"] = staticmethod(bus_access)
        bound["bus_sessions"] = BusSessions(bus_limits or BusLimits())
    if write_audit_line not in rp.listeners:
        rp.listeners.append(write_audit_line)
    return [
        (
            re.escape(f"{stem}/{name}"),
            type(handler.__name__, (handler,), {"__module__": handler.__module__, **bound}),
        )
        for name, handler in handlers.items()
    ]


def _look_for_the_callback(rp: RelyingParty, path: str) -> None:
    uris = [client.provider.redirect_uri for client in rp.clients.values()]
    # No error: a proxy may call the path otherwise, or an alias of this prefix come later.
    if uris and not any(urlsplit(uri).path.endswith(path) for uri in uris):
        _log.warning(
            "the callback is mounted at %s, and no redirect_uri leads there: %s",
            path,
            ", ".join(uris),
        )
