"""The bus alone is light."""

from __future__ import annotations

import subprocess
import sys

FORBIDDEN = ("jwt", "cryptography", "tornado", "sqlite3", "ssl", "redis")


def test_the_bus_loads_no_login() -> None:
    """importing clefstorm.bus loads asyncio and the standard library only."""
    program = (
        "import sys, asyncio\nbefore = set(sys.modules)\n"
        "import clefstorm.bus, clefstorm.bus.frames\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "clefstorm.bus.async_bus" in loaded
    assert not [name for name in loaded if name.partition(".")[0] in FORBIDDEN]
    ours = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("clefstorm")}
    assert ours == {"clefstorm", "clefstorm.bus", "clefstorm.errors"}
