"""Importing clefstorm costs what is used, says nothing and starts nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ALONE = {
    # what is imported: what must stay out
    "clefstorm": {"clefstorm.errors", "cryptography", "jwt", "sqlite3", "tornado"},
    "clefstorm.errors": {"cryptography", "jwt", "sqlite3", "tornado"},
    "clefstorm.keys": {"sqlite3", "tornado"},
    "clefstorm.sealing": {"jwt", "sqlite3", "tornado"},
    "clefstorm.protocol": {"sqlite3", "tornado"},
    "clefstorm.providers": {"sqlite3", "tornado"},
    "clefstorm.transport": {"pycurl", "sqlite3", "tornado.web"},
    "clefstorm.bus": {"cryptography", "jwt", "sqlite3", "tornado.web"},
    "clefstorm.sessions": {"jwt", "tornado"},
    "clefstorm.relying_party": {"tornado.web"},
    "clefstorm.remote": {"clefstorm.handlers", "cryptography", "jwt", "sqlite3"},
    "clefstorm.handlers": {"pytest"},
}

PROGRAM = """
import asyncio, importlib, json, logging, sys, threading
asyncio.BaseEventLoop.__init__ = lambda *arguments: sys.exit("an event loop was made")
importlib.import_module(sys.argv[1])
assert threading.active_count() == 1, threading.enumerate()
assert not logging.getLogger().handlers, "logging was configured"
json.dump(sorted(sys.modules), sys.stdout)
"""


@pytest.mark.parametrize("module", ALONE)
def test_alone(module: str) -> None:
    """A part loads none of what only other parts need, warns of nothing, and starts no thread."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, module], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    loaded = set(json.loads(ran.stdout))
    assert not loaded & ALONE[module]
