"""Translate HTTP to the relying party and back; decide nothing."""

from clefstorm.handlers.audit import AuditJSONFormatter, write_audit_line
from clefstorm.handlers.bearer import BearerMixin
from clefstorm.handlers.bus_access import BusAccess, BusLimits
from clefstorm.handlers.bus_revocation import end_remote_sessions
from clefstorm.handlers.login import wave_button
from clefstorm.handlers.requires import requires
from clefstorm.handlers.routes import login_routes
from clefstorm.handlers.tabs import Tabs
from clefstorm.handlers.user import UserMixin, authenticated, user_of

__all__ = [
    "AuditJSONFormatter",
    "BearerMixin",
    "BusAccess",
    "BusLimits",
    "Tabs",
    "UserMixin",
    "authenticated",
    "end_remote_sessions",
    "login_routes",
    "requires",
    "user_of",
    "wave_button",
    "write_audit_line",
]
