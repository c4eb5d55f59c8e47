"""Packages of others that tests drive as peers: each in a folder of its own, installed once.

LAW: a peer is never on the path of the tests themselves; it runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(sys.prefix) / "peers"


def installed(requirement: str, *options: str) -> Path:
    """The folder of a package such as ``clef==0.0.8``, installed by the first test that asks.

    Where no package index is within reach the calling test is skipped; under CI=true it fails.
    """
    folder = FOLDER / requirement.replace("==", "-")
    if folder.is_dir():
        return folder
    FOLDER.mkdir(exist_ok=True)
    fresh = tempfile.mkdtemp(dir=FOLDER)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, *options, "--target", fresh, requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        try:
            os.rename(fresh, folder)
        except OSError:  # another process of the same run was faster
            shutil.rmtree(fresh)
        return folder
    shutil.rmtree(fresh)
    reason = f"missing peer: {requirement} could not be installed"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}\n{done.stderr}", pytrace=False)
    pytest.skip(reason)


async def drive(folder: Path, program: str, **given: Any) -> Any:
    """Run a program with the peer first on its path; ``given`` is its dict ``given``.

    What it puts into ``answer`` comes back; both go as JSON.
    """
    program = "\n".join(
        (
            "import json, sys",
            "given, answer = json.load(sys.stdin), {}",
            program,
            "print(json.dumps(answer))",
        )
    )
    quiet = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "ignore", "-c", program),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**quiet, "PYTHONPATH": str(folder)},
    )
    out, errors = await process.communicate(json.dumps(given).encode())
    assert process.returncode == 0, errors.decode()
    return json.loads(out)
