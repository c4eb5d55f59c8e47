"""Hooks: how an application says in which way its hosts are connected to.

LAW: what a hook raises is told by its class, and by the file and line where it was raised. It is
chained when it is ours; a foreign exception is not, because nobody knows what it holds.
Source: the interface of sleepwalker's ConnectionHook.
"""

from __future__ import annotations

import inspect
import traceback
from abc import ABC, abstractmethod
from collections.abc import Hashable
from pathlib import PurePath
from typing import Any

from clefstorm.errors import ClefStormError, ConnectFailed


class ConnectionHook(ABC):
    """Knows how to connect to some hosts; for an application to subclass."""

    @abstractmethod
    def connect(self, host: str, auth: Any) -> Any:
        """Return a connection, or something like it, or None when the host is not for this hook.

        ``host`` is scheme, host and port, in lower case and without the scheme's usual port. May
        block: a ConnectionManager calls it in any thread, but once at a time for a host and
        credentials.
        """


def ask(hook: ConnectionHook, host: str, auth: Hashable) -> Any:
    """Return what the hook returns. Raises ConnectFailed (``hook_failed``)."""
    evidence = {"hook": type(hook).__qualname__, "host": host}
    try:
        connection = hook.connect(host, auth)
    except ClefStormError as error:
        raise _failed(error.code, evidence) from error
    except Exception as error:
        *_, last = traceback.extract_tb(error.__traceback__)
        evidence["at"] = f"{PurePath(last.filename).name}:{last.lineno}"
        reason = type(error).__name__
    else:
        if not inspect.iscoroutine(connection):
            return connection
        connection.close()
        reason = "connect must be a plain function: it may block"
    # Not within an except block, whose exception would ride along as __context__.
    raise _failed(reason, evidence)


def _failed(reason: str, evidence: dict[str, str]) -> ConnectFailed:
    return ConnectFailed(
        "a connection hook failed; see where, or return None for hosts that it does not know",
        code="hook_failed",
        reason=reason,
        **evidence,
    )
