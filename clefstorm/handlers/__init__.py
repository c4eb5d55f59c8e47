"""Translate HTTP to the relying party and back; decide nothing."""

from clefstorm.handlers.audit import write_audit_line
from clefstorm.handlers.routes import login_routes
from clefstorm.handlers.tabs import Tabs
from clefstorm.handlers.user import UserMixin, authenticated, user_of

__all__ = [
    "Tabs",
    "UserMixin",
    "authenticated",
    "login_routes",
    "user_of",
    "write_audit_line",
]
