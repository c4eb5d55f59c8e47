"""Moves requests; knows no user.

A flow of the protocol runs under AsyncRunner, which sends requests over one AsyncConnection for
each origin and answers for metadata and keys from a DocumentCache.
"""

from __future__ import annotations

from clefstorm.transport.connection import AsyncConnection
from clefstorm.transport.documents import DocumentCache
from clefstorm.transport.loop_thread import run_blocking
from clefstorm.transport.runner import AsyncRunner

__all__ = ["AsyncConnection", "AsyncRunner", "DocumentCache", "run_blocking"]
