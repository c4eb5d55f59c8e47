"""Moves requests; knows no user.

An application speaks to a host through a Connection or AsyncConnection, of which a
ConnectionManager has one for each host and credentials. A flow of the protocol runs under
AsyncRunner, which finds its connections through a ConnectionManager too, and answers for metadata
and keys from a DocumentCache. Whatever blocks is the asynchronous text, run by ``run_blocking``.
"""

from __future__ import annotations

from clefstorm.transport.auth import NO_AUTH, Auth, Bearer, ClientCredentials
from clefstorm.transport.connection import AsyncConnection, Connection
from clefstorm.transport.connection_hook import ConnectionHook
from clefstorm.transport.documents import DocumentCache
from clefstorm.transport.loop_thread import run_blocking
from clefstorm.transport.manager import ConnectionManager
from clefstorm.transport.pod_connection import AsyncPodConnection, PodConnection
from clefstorm.transport.runner import AsyncRunner, check_deadline

__all__ = [
    "NO_AUTH",
    "AsyncConnection",
    "AsyncPodConnection",
    "AsyncRunner",
    "Auth",
    "Bearer",
    "ClientCredentials",
    "Connection",
    "ConnectionHook",
    "ConnectionManager",
    "DocumentCache",
    "PodConnection",
    "check_deadline",
    "run_blocking",
]
