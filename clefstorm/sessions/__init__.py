"""Stores of login sessions; know nothing of HTTP, so anything can end a session."""

from clefstorm.sessions.memory import MemorySessionStore
from clefstorm.sessions.record import LoginSession, new_session_id, session_key
from clefstorm.sessions.sqlite import SQLiteSessionStore
from clefstorm.sessions.store import Revocation, SessionStore

__all__ = [
    "LoginSession",
    "MemorySessionStore",
    "Revocation",
    "SQLiteSessionStore",
    "SessionStore",
    "new_session_id",
    "session_key",
]
