"""What a request must be permitted, and how its user must have signed in, held against claims.

LAW: what is missing, of another type or not understood is not met. Permissions are judged before
the sign-in, for no second sign-in helps where the permission is missing.
Source: OpenID Connect Core 1.0, 2 (acr, auth_time); RFC 6750, 3.1 (scope); RFC 9470, 3 and 4.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.bearer import SCOPE_TOKEN
from clefstorm.protocol.id_token import check_auth_time
from clefstorm.protocol.jwt import time_claim

ClaimPath = str | tuple[str, ...]
"""Where a claim stands: "realm_access.roles", or ("https://example.com/roles",) name by name."""

_SCALARS = (str, bool, int, float)
_ROLE = re.compile(r"(?s:.+)")


class Unmet(StrEnum):
    """What is missing; the value is the code for logs and answers."""

    SCOPE = "scope_missing"
    ROLE = "role_missing"
    CLAIM = "claim_missing"
    ACR = "acr_unmet"
    AUTH_TIME = "auth_time_too_old"

    @property
    def helped_by_sign_in(self) -> bool:
        """True when the same user may meet it by signing in again."""
        return self in (Unmet.ACR, Unmet.AUTH_TIME)


def read_claim_path(path: ClaimPath) -> tuple[str, ...]:
    """Return the names on the way to a claim; a text is cut at its dots, a tuple as it is.

    Raises ConfigurationError (``claim_path_invalid``).
    """
    names = tuple(path.split(".")) if isinstance(path, str) else path
    if isinstance(path, str) and "://" in path:
        names = ()  # The dots of a URL lead nowhere.
    if (
        not isinstance(names, tuple)
        or not names
        or not all(isinstance(name, str) and name for name in names)
    ):
        raise ConfigurationError(
            'a claim is named by a text such as "realm_access.roles"; one whose own name has dots '
            'by a tuple, ("https://example.com/roles",)',
            code="claim_path_invalid",
            got=path,
        )
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """All that must be so; ``unmet`` judges it. Raises ConfigurationError for what can't be meant.

    ``claims`` maps claim paths to the value that a claim must have, or that must be in it when
    it is a list; a collection of values means any of them. ``roles`` must all be in the claim
    ``roles_claim``, ``scopes`` all in the scope that was granted. ``acr`` are the authentication
    context classes of which one is needed, the preferred one first. ``max_age`` is how many
    seconds ago the user may have signed in at most. None and nothing require nothing.
    """

    claims: Mapping[ClaimPath, Any] = field(default_factory=dict)
    roles: Collection[str] = ()
    roles_claim: ClaimPath = "roles"
    scopes: Collection[str] = ()
    acr: Collection[str] = ()
    max_age: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "claims",
            {read_claim_path(path): _wanted(path, value) for path, value in self.claims.items()},
        )
        object.__setattr__(self, "roles_claim", read_claim_path(self.roles_claim))
        for name in ("roles", "scopes", "acr"):
            given = getattr(self, name)
            # An iterator gives its words once, so they are taken before they are judged.
            words = None if isinstance(given, str) else tuple(given)
            # Scopes and acr values are sent as words of one text, in a header too.
            shape = _ROLE if name == "roles" else SCOPE_TOKEN
            if words is None or not all(
                isinstance(word, str) and shape.fullmatch(word) for word in words
            ):
                raise ConfigurationError(
                    f'{name} is a list of texts, such as {name}=["one"]', code=f"{name}_invalid"
                )
            object.__setattr__(self, name, words)
        age = self.max_age
        if age is not None and (isinstance(age, bool) or not isinstance(age, int) or age < 0):
            raise ConfigurationError(
                "max_age is a whole number of seconds", code="max_age_invalid", got=age
            )
        if not (self.claims or self.roles or self.scopes or self.acr or age is not None):
            raise ConfigurationError(
                "nothing is required: say what, or take authenticated", code="requires_nothing"
            )

    @property
    def acr_values(self) -> str | None:
        """The classes as the parameter acr_values has them; None when there are none."""
        return " ".join(self.acr) or None

    @property
    def scope(self) -> str | None:
        """The scopes as the parameter scope has them; None when there are none."""
        return " ".join(sorted(self.scopes)) or None

    def unmet(
        self, claims: Mapping[str, Any], *, scope: Collection[str], now: float, leeway: float
    ) -> Unmet | None:
        """Return the first thing that is missing, None when all is met; times in seconds."""
        if not set(self.scopes) <= set(scope):
            return Unmet.SCOPE
        held = _values(claims, read_claim_path(self.roles_claim))
        if not all(_among(role, held) for role in self.roles):
            return Unmet.ROLE
        for path, wanted in self.claims.items():
            held = _values(claims, read_claim_path(path))
            if not any(_among(value, held) for value in wanted):
                return Unmet.CLAIM
        if self.acr and not any(_among(acr, [claims.get("acr")]) for acr in self.acr):
            return Unmet.ACR
        if self.max_age is not None and not _signed_in_since(
            claims, max_age=self.max_age, now=now, leeway=leeway
        ):
            return Unmet.AUTH_TIME
        return None


def _wanted(path: ClaimPath, value: Any) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, set | frozenset | list | tuple) else (value,)
    if not values or not all(isinstance(one, _SCALARS) for one in values):
        raise ConfigurationError(
            "a claim is compared with a text, a number, true or false, or with a list of them",
            code="claim_value_invalid",
            claim=path,
        )
    return values


def _values(claims: Mapping[str, Any], path: tuple[str, ...]) -> list[Any]:
    """The values of a claim: those of its list, or the one; none when it is not there."""
    found: Any = claims
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return []
        found = found[name]
    return list(found) if isinstance(found, list | tuple) else [found]


def _among(wanted: Any, held: Collection[Any]) -> bool:
    # In JSON true is not 1, though in Python it equals it.
    return any(type(value) is type(wanted) and value == wanted for value in held)


def _signed_in_since(claims: Mapping[str, Any], *, max_age: int, now: float, leeway: float) -> bool:
    try:
        auth_time = time_claim(claims, "auth_time", required=False)
        check_auth_time(auth_time, max_age=max_age, now=now, leeway=leeway)
    except ProtocolViolation:
        return False
    return True
