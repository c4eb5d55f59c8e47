"""One alias in use: a provider's flows, driven over the network."""

from __future__ import annotations

from clefstorm.client.async_client import AsyncClient
from clefstorm.client.blocking_client import Client

__all__ = ["AsyncClient", "Client"]
