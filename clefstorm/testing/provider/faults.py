"""How a test makes the embedded provider misbehave.

LAW: the provider is correct until a test puts something into one of these two tables, and
correct again when it is taken out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from clefstorm.errors import ConfigurationError
from clefstorm.keys import Key

V = TypeVar("V")

TAMPERED = (
    "discovery",
    "jwks",
    "authorize",
    "token",
    "userinfo",
    "revoke",
    "id_token",
    "logout_token",
    "clef_authorize",
    "clef_info",
    "clef_logout",
    "eternaltwin_token",
    "eternaltwin_self",
    "eternaltwin_users",
)
"""What ``Provider.tamper`` may name."""

ENDPOINTS = (
    "discovery",
    "jwks",
    "authorize",
    "token",
    "userinfo",
    "revoke",
    "end_session",
    "clef_authorize",
    "clef_info",
    "clef_logout",
    "eternaltwin_token",
    "eternaltwin_self",
    "eternaltwin_users",
)
"""What ``Provider.answer_instead`` may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer in place of the true one. ``body``: bytes, text, or a mapping (as JSON).

    With ``hang`` nothing is ever sent: the caller waits until it gives up.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | Mapping[str, Any] = b""
    hang: bool = False


@dataclass(slots=True)
class TokenDraft:
    """An id token or logout token before it is signed: change what you like."""

    claims: dict[str, Any]
    key: Key
    typ: str | None


class FaultTable(dict[str, V]):
    """A dict that knows its keys, so that a misspelled fault is not a silent one."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names

    def __setitem__(self, name: str, value: V) -> None:
        if name not in self._names:
            raise ConfigurationError(
                "there is nothing of this name to tamper with",
                code="fault_unknown",
                expected=", ".join(self._names),
                got=name,
            )
        super().__setitem__(name, value)


Tamper = Callable[[Any], Any]


async def tampered(table: Mapping[str, Tamper], name: str, value: Any) -> Any:
    """Return the value after the test's hook, or as it is when there is none.

    A hook is given the value, may change it in place, and may be a coroutine function; what it
    returns, unless None, takes the value's place.
    """
    hook = table.get(name)
    if hook is None:
        return value
    result = hook(value)
    if inspect.isawaitable(result):
        result = await result
    return value if result is None else result
