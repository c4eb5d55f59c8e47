"""What the embedded provider remembers: browsers signed in, what it granted, its tokens.

LAW: nobody can sign in with what is in here: cookies, codes and tokens are kept as hashes.
With a folder, all but the codes is kept in one JSON file that only its owner can read,
rewritten whole after each change; simple, and enough for a handful of people.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clefstorm.errors import ConfigurationError

FILE_NAME = "provider.json"
FILE_VERSION = 1
SESSION_LIFETIME = 14 * 86400.0
"""Seconds from a sign-in to the end of the provider's own session."""


def handle_of(secret: str) -> str:
    """Return the name under which a secret value is kept; it can be shown, and opens nothing."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(slots=True, kw_only=True)
class ProviderSession:
    """One browser, signed in at the provider. ``sids`` has one sid for each client it used,
    ``clef_grants`` one name for each application that it approved by a wave.

    ``handle`` names it for the admin page and for ``Provider.end_session``. Times are epoch
    seconds; ``auth_time`` is when the user last proved who they are.
    """

    handle: str
    username: str
    auth_time: float
    started: float
    user_agent: str = ""
    sids: dict[str, str] = field(default_factory=dict)
    clef_grants: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Grant:
    """What one authorization allowed; all its tokens die with it.

    ``username`` is empty for a client that speaks for itself.
    """

    grant_id: str
    client_id: str
    username: str
    sid: str
    session: str
    scope: list[str]
    auth_time: float
    started: float


@dataclass(slots=True, kw_only=True)
class IssuedCode:
    """A code that was given out; a used one is remembered, to notice when it comes again."""

    grant_id: str
    redirect_uri: str
    code_challenge: str
    nonce: str | None
    expires: float
    used: bool = False


@dataclass(slots=True, kw_only=True)
class IssuedToken:
    """An access or refresh token; a used refresh token is remembered, as a code is."""

    grant_id: str
    expires: float
    scope: list[str]
    used: bool = False


class ProviderStore:
    """The memory, and its file when there is a folder (``path`` None: memory alone).

    Raises ConfigurationError (``provider_file_unreadable``) for a file that isn't ours.
    """

    def __init__(self, path: Path | None, *, clock: Callable[[], float]) -> None:
        self.sessions: dict[str, ProviderSession] = {}
        self.grants: dict[str, Grant] = {}
        self.codes: dict[str, IssuedCode] = {}
        self.access_tokens: dict[str, IssuedToken] = {}
        self.refresh_tokens: dict[str, IssuedToken] = {}
        self.keys: list[dict[str, str]] = []
        self._clock = clock
        self._file = None if path is None else path / FILE_NAME
        if self._file is not None and self._file.exists():
            self._load(self._file)

    def save(self) -> None:
        """Forget what has expired and write the rest; called after every change."""
        self._prune()
        if self._file is None:
            return
        record = {
            "version": FILE_VERSION,
            "keys": self.keys,
            **{name: _records(getattr(self, name)) for name in _KEPT},
        }
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._file.with_name(f"{FILE_NAME}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(record, file)
        fresh.replace(self._file)

    def end_session(self, handle: str) -> ProviderSession | None:
        """Forget a session and the tokens that depend on it; None when there is no such session.

        What was granted for offline access lives on (Back-Channel Logout 1.0, section 2.7).
        """
        session = self.sessions.pop(handle, None)
        if session is not None:
            for grant in list(self.grants.values()):
                if grant.session == handle and "offline_access" not in grant.scope:
                    del self.grants[grant.grant_id]
            self.save()
        return session

    def _prune(self) -> None:
        now = self._clock()
        for handle, session in list(self.sessions.items()):
            if session.started + SESSION_LIFETIME <= now:
                del self.sessions[handle]
        held = set()
        tables: tuple[dict[str, Any], ...] = (self.codes, self.access_tokens, self.refresh_tokens)
        for table in tables:
            for name, issued in list(table.items()):
                if issued.expires <= now or issued.grant_id not in self.grants:
                    del table[name]
                else:
                    held.add(issued.grant_id)
        for grant_id in set(self.grants) - held:
            del self.grants[grant_id]

    def _load(self, file: Path) -> None:
        try:
            record = json.loads(file.read_bytes())
            if record["version"] != FILE_VERSION:
                raise ValueError("another version")
            self.keys = list(record["keys"])
            for name, kind in _KEPT.items():
                table = {key: kind(**members) for key, members in record[name].items()}
                setattr(self, name, table)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigurationError(
                "the embedded provider's file can't be read: delete it to start anew",
                code="provider_file_unreadable",
                file=str(file),
            ) from None


_KEPT = {
    "sessions": ProviderSession,
    "grants": Grant,
    "access_tokens": IssuedToken,
    "refresh_tokens": IssuedToken,
}


def _records(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asdict(value) for name, value in table.items()}
