"""Hooks: how an application says in which way its hosts are connected to.

LAW: what a hook raises is told by its class, and by the line of the hook's own file that led to it.
It is chained when it is ours; a foreign exception is not, because nobody knows what it holds.
Source: the interface of sleepwalker's ConnectionHook.
"""

from __future__ import annotations

import inspect
import traceback
from abc import ABC, abstractmethod
from collections.abc import Hashable
from pathlib import PurePath
from typing import Any

from clefstorm.errors import ClefStormError, ConfigurationError, ConnectFailed, URLError
from clefstorm.transport.channel import Channel


class ConnectionHook(ABC):
    """Knows how to connect to some hosts; for an application to subclass."""

    @abstractmethod
    def connect(self, host: str, auth: Any) -> Any:
        """Return a connection, or something like it, or None when the host is not for this hook.

        ``host`` is scheme, host and port, in lower case and without the scheme's usual port. May
        block: a ConnectionManager calls it in any thread, but once at a time for a host and
        credentials.
        """


def check_hook(hook: Any) -> None:
    """Raise ConfigurationError (``hook_invalid``) for what can't be asked."""
    connect = getattr(hook, "connect", None)
    if isinstance(hook, type) or not callable(connect):
        raise ConfigurationError(
            "a hook is an instance of a subclass of ConnectionHook",
            code="hook_invalid",
            got=type(hook).__name__,
        )
    try:
        inspect.signature(connect).bind("host", "auth")
    except TypeError:
        raise ConfigurationError(
            "a hook's connect takes (host, auth)", code="hook_invalid", got=type(hook).__name__
        ) from None


def check_connection(connection: Any, host: str) -> None:
    """Raise URLError (``origin_mismatch``) for a connection of ours to another host."""
    if isinstance(connection, Channel) and str(connection.origin) != host:
        raise URLError(
            "a connection is kept for the host that it speaks to, and for no other",
            code="origin_mismatch",
            expected=host,
            got=connection.origin,
        )


def ask(hook: ConnectionHook, host: str, auth: Hashable) -> Any:
    """Return what the hook returns. Raises ConnectFailed (``hook_failed``)."""
    evidence = {"hook": type(hook).__qualname__, "host": host}
    try:
        connection = hook.connect(host, auth)
        check_connection(connection, host)
    except ClefStormError as error:
        raise _failed(error.code, evidence) from error
    except Exception as error:
        evidence["at"] = _place(hook, traceback.extract_tb(error.__traceback__))
        reason = type(error).__name__
    else:
        if not inspect.iscoroutine(connection):
            return connection
        connection.close()
        reason = "connect must be a plain function: it may block"
    # Not within an except block, whose exception would ride along as __context__.
    raise _failed(reason, evidence)


def _place(hook: ConnectionHook, frames: traceback.StackSummary) -> str:
    """Return the last line of the hook's own file, where there is one, else the last of all."""
    code = getattr(inspect.unwrap(hook.connect), "__code__", None)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    last = (own or frames)[-1]
    return f"{PurePath(last.filename).name}:{last.lineno}"


def _failed(reason: str, evidence: dict[str, str]) -> ConnectFailed:
    return ConnectFailed(
        "a connection hook failed; see where, or return None for hosts that it does not know",
        code="hook_failed",
        reason=reason,
        **evidence,
    )
