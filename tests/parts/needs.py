"""Real parts of the system that some tests need: where they are, and what happens without them.

``./run test`` installs them where it can, and asks here what is missing: ``python needs.py`` says.
LAW: only looks; installs nothing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import playwright
import pytest

HERE = Path(__file__).parent
SYSTEM_BROWSERS = (
    "chromium",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def _chromium() -> str | None:
    """A browser of the system, else one that ``playwright install chromium`` fetched."""
    for name in SYSTEM_BROWSERS:
        # Ubuntu's chromium is a snap, which sees no profile folder of ours.
        if (path := shutil.which(name)) and "snap" not in Path(path).resolve().parts:
            return path
    fetched = [
        path
        for cache in (".cache", "Library/Caches")
        for binary in ("chrome-linux*/chrome", "chrome-mac*/*.app/Contents/MacOS/*")
        for path in (Path.home() / cache).glob(f"ms-playwright/chromium-*/{binary}")
    ]
    return str(max(fetched)) if fetched else None


def _node() -> str | None:
    """The node that playwright brings along and itself needs, if this system can run it.

    On a small Debian it lacks libatomic1, and Debian 12's own node is too old for oidc-provider 9.
    """
    node = Path(playwright.__file__).parent / "driver" / "node"
    ran = subprocess.run([node, "--version"], capture_output=True, check=False)
    return str(node) if ran.returncode == 0 else None


def _oidc_provider() -> str | None:
    """Where npm has installed it."""
    folder = HERE / "oidc_provider" / "node_modules" / "oidc-provider"
    return str(folder) if folder.is_dir() else None


def _nginx() -> str | None:
    """Debian puts it where only root's PATH looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _pycurl() -> str | None:
    """The extra ``test`` brings it along; there are wheels for the usual platforms only."""
    spec = importlib.util.find_spec("pycurl")
    return spec.origin if spec else None


FINDERS: dict[str, Callable[[], str | None]] = {
    "chromium": _chromium,
    "node": _node,
    "oidc-provider": _oidc_provider,
    "nginx": _nginx,
    "pycurl": _pycurl,
}


def need(part: str) -> str:
    """Answers the part's path.

    Without it the calling test is skipped; under CI=true it fails.
    """
    if path := FINDERS[part]():
        return path
    reason = f"missing part: {part}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


if __name__ == "__main__":
    print(*(part for part, find in FINDERS.items() if find() is None))
