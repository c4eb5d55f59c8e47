"""The two handlers, and ``configure``, which replaces everything in both.

LAW: a handler holds clients and decides nothing about them. Replacing is one assignment, so that
a thread sees the old configuration or the new one of a handler and never a mixture; whoever changes
it holds its lock, so that no change writes back what another one took away.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from clefstorm.client import AsyncClient, Client
from clefstorm.errors import ConfigurationError, UnknownAlias
from clefstorm.registry.options import register

DEFAULT = "default"

C = TypeVar("C", bound=AsyncClient | Client)


def unknown_alias(alias: object, configured: Collection[str]) -> UnknownAlias:
    """Make the error for an alias that is not there; it names the near one."""
    near = difflib.get_close_matches(str(alias), configured, n=1)
    return UnknownAlias(
        f"no provider is configured under the alias {alias!r}"
        + (f"; did you mean {near[0]!r}?" if near else "")
        + ("" if configured else ": call clefstorm.configure(...) first"),
        alias=alias,
        configured=", ".join(configured) or "none",
    )


class Connections(MutableMapping[str, C], Generic[C]):
    """Clients by alias: ``clefstorm.connections`` blocking ones, ``async_connections`` async ones.

    Each of the two has aliases of its own; only ``configure`` speaks to both. ``handler[alias]``,
    ``handler[alias] = client`` and ``del handler[alias]`` are get_connection, add_connection and
    remove_connection. May be used from several threads.
    """

    def __init__(self, client_class: type[C]) -> None:
        self._client_class = client_class
        self._clients: dict[str, C] = {}
        self._changing = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client_class.__name__}: {', '.join(self)}>"

    def get_connection(self, alias: str | None = None) -> C:
        """Return the client of an alias, None meaning "default".

        Raises UnknownAlias (also a KeyError), which names the alias and the near one.
        """
        wanted = DEFAULT if alias is None else alias
        clients = self._clients
        try:
            return clients[wanted]
        except KeyError:
            raise unknown_alias(wanted, clients) from None

    def create_connection(self, alias: str, **options: Any) -> C:
        """Make a client from options, add it under the alias in this handler, and return it.

        The other handler does not learn of it. Raises ConfigurationError.
        """
        client = register(alias, options).client(self._client_class)
        with self._changing:
            self._clients = {**self._clients, alias: client}
        return client

    def add_connection(self, alias: str, client: C) -> None:
        """Add a client, replacing one of the same alias; from now on this is its alias.

        Raises ConfigurationError when it has been added under another one, or is of the other
        handler's kind.
        """
        if not isinstance(client, self._client_class):
            raise ConfigurationError(
                f"this handler holds clients of the class {self._client_class.__name__}",
                code="client_invalid",
                alias=alias,
                got=type(client).__name__,
            )
        with self._changing:
            if any(held is client and name != alias for name, held in self._clients.items()):
                raise ConfigurationError(
                    "this client has an alias already; make one of its own",
                    code="alias_taken",
                    expected=client.alias,
                    got=alias,
                )
            # A login that begins under an alias is finished by the client of that alias.
            client.alias = alias
            self._clients = {**self._clients, alias: client}

    def remove_connection(self, alias: str) -> None:
        """Forget an alias. Raises UnknownAlias."""
        with self._changing:
            self.get_connection(alias)
            self._clients = {name: held for name, held in self._clients.items() if name != alias}

    def replace(self, clients: Mapping[str, C]) -> None:
        """Hold these clients and no others."""
        with self._changing:
            self._clients = dict(clients)

    def __getitem__(self, alias: str) -> C:
        return self.get_connection(alias)

    def __setitem__(self, alias: str, client: C) -> None:
        self.add_connection(alias, client)

    def __delitem__(self, alias: str) -> None:
        self.remove_connection(alias)

    def __iter__(self) -> Iterator[str]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)


connections: Connections[Client] = Connections(Client)
async_connections: Connections[AsyncClient] = Connections(AsyncClient)


def configure(**aliases: Mapping[str, Any]) -> None:
    """Replace everything configured by these aliases and their options; none resets it.

    Both handlers get a client of each alias. All options are judged before anything is replaced,
    so an error changes nothing. Raises ConfigurationError.
    """
    replace_all(aliases)


def replace_all(aliases: Mapping[str, Mapping[str, Any]], *, folder: Path | None = None) -> None:
    """Do what ``configure`` does, with references relative to ``folder``."""
    made = [register(alias, options, folder=folder) for alias, options in aliases.items()]
    blocking = {one.alias: one.client(Client) for one in made}
    awaited = {one.alias: one.client(AsyncClient) for one in made}
    connections.replace(blocking)
    async_connections.replace(awaited)
