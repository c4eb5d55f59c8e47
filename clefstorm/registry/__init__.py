"""The configured providers by alias: the only global state of clefstorm.

    configure(**{alias: options})              replaces everything, in both handlers at once
    configure_from_file(path)                  the same from a TOML file
    configure_from_environment(prefix)         the same from variables
    connections, async_connections             the handlers: blocking and async clients by alias

LAW: nothing else in the package keeps a module-level object that configuration changes.
Source: the interface of the eternaltwin package.
"""

from __future__ import annotations

from clefstorm.registry.connections import (
    DEFAULT,
    Connections,
    async_connections,
    configure,
    connections,
    unknown_alias,
)
from clefstorm.registry.options import build_client
from clefstorm.registry.sources import configure_from_environment, configure_from_file

__all__ = [
    "DEFAULT",
    "Connections",
    "async_connections",
    "build_client",
    "configure",
    "configure_from_environment",
    "configure_from_file",
    "connections",
    "unknown_alias",
]
