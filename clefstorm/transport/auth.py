"""Who an application is towards a host: the credentials that a connection is made with.

LAW: values only. They are frozen and hashable, because a ConnectionManager finds connections by
them; no repr shows a secret; and none goes over plain http to another machine.
Source: RFC 7617 (basic), RFC 6750, section 2.1 (bearer), RFC 6749, section 4.4 (client
credentials).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.authorization_header import build_basic, is_bearer_token, is_credential
from clefstorm.protocol.metadata import is_loopback
from clefstorm.transport.origin import Origin, read_url


class NoAuth(Enum):
    """The kind of ``NO_AUTH``."""

    NO_AUTH = "NO_AUTH"

    def __repr__(self) -> str:
        return self.name


NO_AUTH = NoAuth.NO_AUTH
"""No credentials, and none are looked for."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token that does not change. Raises ConfigurationError for what can't be one."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        if not is_bearer_token(self.token):
            raise _invalid("a bearer token is visible ASCII without spaces")


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A client that gets its access tokens from ``token_url`` with its own id and secret.

    ``scope`` is what to ask for, None for what the server gives unasked. Raises
    ConfigurationError.
    """

    client_id: str
    client_secret: str = field(repr=False)
    token_url: str = field(repr=False)
    scope: str | None = None

    def __post_init__(self) -> None:
        for name in ("client_id", "client_secret"):
            if not is_credential(getattr(self, name)):
                raise _invalid(f"{name} is a text, not empty")
        if self.scope is not None and not isinstance(self.scope, str):
            raise _invalid("scope is a text, or None")
        require_safe(read_url(self.token_url)[0])


Auth = tuple[str, str] | Bearer | ClientCredentials | NoAuth | None
"""(user, password) is basic auth; None means the entry of the netrc file."""


def check_auth(auth: object, origin: Origin) -> None:
    """Judge credentials for a host. Raises ConfigurationError, which quotes nothing of them."""
    match auth:
        case None | NoAuth():
            return
        case (str(), str()) if isinstance(auth, tuple):
            build_basic(*auth)
        case Bearer() | ClientCredentials():
            pass
        case _:
            raise _invalid(
                "auth is (user, password), Bearer, ClientCredentials, NO_AUTH, or None for netrc"
            )
    require_safe(origin)


def require_safe(origin: Origin) -> None:
    """Raise ConfigurationError (``auth_needs_https``) where a listener would learn a secret."""
    if origin.scheme != "https" and not is_loopback(origin.host):
        raise ConfigurationError(
            "credentials go over https alone, or to this machine",
            code="auth_needs_https",
            host=origin,
        )


def _invalid(reason: str) -> ConfigurationError:
    return ConfigurationError(reason, code="auth_invalid")
