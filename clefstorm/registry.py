"""The configured providers by alias: the only global state of clefstorm.

LAW: nothing else in the package keeps a module-level object that configuration changes.
Source: the interface of the eternaltwin package (configure, get_connection, create_connection,
add_connection, remove_connection, item access).
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from clefstorm.client import AsyncClient
from clefstorm.errors import ConfigurationError, UnknownAlias
from clefstorm.keys import Key
from clefstorm.providers import ClefProvider, OAuth2Provider, OpenIDProvider, Provider

DEFAULT = "default"

_CLIENT_OPTIONS = frozenset({"provider", "state_key", "timeout", "deadline", "verify_ssl"})
_KINDS: Mapping[str, type[Provider]] = {
    "openid": OpenIDProvider,
    "oauth2": OAuth2Provider,
    "clef": ClefProvider,
}
_OAUTH2_ALONE = frozenset({"authorization_endpoint", "token_endpoint", "userinfo_endpoint"})


def build_client(alias: str, options: Mapping[str, Any]) -> AsyncClient:
    """Return the client that these options describe.

    ``provider`` names the kind: openid, oauth2 or clef. Without it, endpoints make it an
    OAuth2Provider, else it is an OpenIDProvider by ``issuer``; the options are the kind's, and
    ``state_key``, ``timeout`` (s, 5 by default), ``deadline`` (s), ``verify_ssl``
    (True, False or a CA file). Raises ConfigurationError, which names the alias, and the near
    option for a misspelled one.
    """
    if not isinstance(options, Mapping):
        raise ConfigurationError(
            "an alias is configured by a mapping of options", code="options_invalid", alias=alias
        )
    try:
        return _build_client(alias, options)
    except ConfigurationError as error:
        error.add_evidence(alias=alias)
        raise


def _build_client(alias: str, options: Mapping[str, Any]) -> AsyncClient:
    kind = _kind_of(options)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    known = _CLIENT_OPTIONS.union(field.name for field in fields)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigurationError(
                "there is no such option" + (f"; did you mean {near[0]}?" if near else ""),
                code="option_unknown",
                got=name,
            )
    missing = [
        field.name
        for field in fields
        if field.name not in options
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigurationError(
            "an option is missing", code="option_missing", expected=", ".join(missing)
        )
    state_key = options.get("state_key")
    if state_key is not None and not (isinstance(state_key, Key) and state_key.can_sign):
        raise ConfigurationError(
            "state_key is a key of clefstorm.keys that can sign: a secret, or a private key",
            code="state_key_invalid",
        )
    return AsyncClient(
        kind(**{name: value for name, value in options.items() if name not in _CLIENT_OPTIONS}),
        alias=alias,
        state_key=state_key,
        timeout=options.get("timeout"),
        deadline=options.get("deadline", 10.0),
        verify=options.get("verify_ssl", True),
    )


def _kind_of(options: Mapping[str, Any]) -> type[Provider]:
    named = options.get("provider")
    if named is None:
        return OpenIDProvider if _OAUTH2_ALONE.isdisjoint(options) else OAuth2Provider
    if not isinstance(named, str) or named not in _KINDS:
        near = difflib.get_close_matches(str(named), _KINDS, n=1)
        raise ConfigurationError(
            "there is no such kind of provider" + (f"; did you mean {near[0]}?" if near else ""),
            code="provider_kind_unknown",
            expected=", ".join(_KINDS),
            got=named,
        )
    return _KINDS[named]


class AsyncConnections(Mapping[str, AsyncClient]):
    """The registry of async clients, ``clefstorm.async_connections``."""

    def __init__(self) -> None:
        self._clients: dict[str, AsyncClient] = {}

    def get_connection(self, alias: str | None = None) -> AsyncClient:
        """Return the client of an alias, None meaning "default".

        Raises UnknownAlias (also a KeyError), which names the alias.
        """
        wanted = DEFAULT if alias is None else alias
        try:
            return self._clients[wanted]
        except KeyError:
            raise UnknownAlias(
                f"no provider is configured under the alias {wanted!r}",
                alias=wanted,
                configured=", ".join(self._clients) or "none",
            ) from None

    def create_connection(self, alias: str, **options: Any) -> AsyncClient:
        """Make a client from options, add it under the alias, and return it."""
        client = build_client(alias, options)
        self._clients[alias] = client
        return client

    def add_connection(self, alias: str, client: AsyncClient) -> None:
        """Add a client, replacing one of the same alias; from now on this is its alias.

        Raises ConfigurationError when it has been added under another one.
        """
        if any(held is client and name != alias for name, held in self._clients.items()):
            raise ConfigurationError(
                "this client has an alias already; make one of its own",
                code="alias_taken",
                expected=client.alias,
                got=alias,
            )
        # A login that begins under an alias is finished by the client of that alias.
        client.alias = alias
        self._clients[alias] = client

    def remove_connection(self, alias: str) -> None:
        """Forget an alias. Raises UnknownAlias."""
        self.get_connection(alias)
        del self._clients[alias]

    def __getitem__(self, alias: str) -> AsyncClient:
        return self.get_connection(alias)

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)


async_connections = AsyncConnections()


def configure(**aliases: Mapping[str, Any]) -> None:
    """Replace everything configured by these aliases and their options; none resets it.

    All options are judged before anything is replaced, so an error changes nothing.
    """
    clients = {alias: build_client(alias, options) for alias, options in aliases.items()}
    async_connections._clients.clear()
    async_connections._clients.update(clients)
