"""The pytest plugin, as a project of a user loads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CONFTEST = """
import pytest

pytest_plugins = ["clefstorm.testing.fixtures"]
"""

TESTS = """
import asyncio
import time

import pytest

from clefstorm.testing import Browser, Clock, Provider


@pytest.mark.gen_test
async def test_real_time(provider, browser, new_browser):
    assert isinstance(provider, Provider)
    assert provider.clock is time.time
    page = await browser.get(provider.issuer)
    assert page.status == 200
    assert len(browser.cookies) == 1
    assert len(new_browser().cookies) == 0


@pytest.mark.gen_test
async def test_given_time(provider, browser, clock):
    assert isinstance(clock, Clock)
    assert provider.clock is clock
    browser.cookies.receive(provider.issuer, "a=1; Max-Age=5")
    clock.advance(5)
    assert browser.cookies.get("a") is None


class TestJumping:
    @pytest.fixture
    def io_loop(self, given_time_io_loop):
        return given_time_io_loop

    @pytest.mark.gen_test(timeout=7200)
    async def test_jump(self, provider, browser, clock):
        start = clock()
        assert provider.clock is clock
        await asyncio.sleep(3600)
        assert clock() == start + 3600
        assert (await browser.get(provider.issuer)).status == 200
"""


def test_the_plugin(tmp_path: Path) -> None:
    """One line in a conftest gives provider, browser, clock and the loop; the app's own io_loop."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_user.py").write_text(TESTS)
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


def test_pytest_is_not_needed() -> None:
    """Only the plugin imports pytest: a demo runs without it."""
    code = "import clefstorm.testing, sys; sys.exit('pytest' in sys.modules)"
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60, check=False)

    assert run.returncode == 0
