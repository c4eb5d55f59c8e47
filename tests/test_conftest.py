"""The comforts of conftest.py do what they promise: a small test run of examples shows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parent

EXAMPLES = """
import asyncio, pytest, tornado.web
from tornado.ioloop import IOLoop

async def sleeper():
    await asyncio.sleep(3600)

async def test_leak():
    asyncio.create_task(sleeper())

async def test_unseen():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

async def test_ends_in_time():
    asyncio.create_task(asyncio.sleep(0.01))

async def test_wrong():
    await asyncio.sleep(0)
    assert False, "it ran"

@pytest.mark.gen_test(timeout=0.01)
async def test_own_timeout():
    await asyncio.sleep(3600)

@pytest.mark.needs("unicorn")
def test_needs():
    pass

def test_own_loop(io_loop):
    assert io_loop is IOLoop.current()

class Redirect(tornado.web.RequestHandler):
    def get(self):
        self.redirect("/elsewhere")

@pytest.fixture
def app():
    return tornado.web.Application([("/", Redirect)])

async def test_client(http_client, base_url):
    response = await http_client.fetch(base_url, raise_error=False)
    assert response.headers["Location"] == "/elsewhere"
    assert http_client.max_clients > 1000
"""

NO_UNICORN = """
from parts.needs import FINDERS
FINDERS["unicorn"] = lambda: None
"""


def outcomes(folder: Path, **environment: str) -> dict[str, tuple[str, str]]:
    """For each example what became of it, and the message."""
    shutil.copy(TESTS.parent / "setup.cfg", folder)
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text() + NO_UNICORN)
    (folder / "test_examples.py").write_text(EXAMPLES)
    subprocess.run(
        [sys.executable, "-m", "pytest", "--junit-xml=report", "-p", "no:cacheprovider", folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS), **environment},
        capture_output=True,
    )
    cases = ElementTree.parse(folder / "report").iter("testcase")
    return {
        str(case.get("name")): next(
            ((child.tag, str(child.get("message"))) for child in case), ("passed", "")
        )
        for case in cases
    }


def test_comforts(tmp_path: Path) -> None:
    """Coroutine tests run, on a loop that tells of leaks, with a client that shows redirects."""
    found = outcomes(tmp_path, CI="")
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "test_leak": "error",
        "test_unseen": "error",
        "test_ends_in_time": "passed",
        "test_wrong": "failure",
        "test_own_timeout": "failure",
        "test_needs": "skipped",
        "test_own_loop": "passed",
        "test_client": "passed",
    }
    assert "sleeper" in found["test_leak"][1]
    assert "division by zero" in found["test_unseen"][1]
    assert "it ran" in found["test_wrong"][1]
    assert "TimeoutError" in found["test_own_timeout"][1]
    assert found["test_needs"][1] == "missing part: unicorn"


def test_missing_part_fails_in_ci(tmp_path: Path) -> None:
    """Under CI=true nothing is skipped for a missing part."""
    outcome, message = outcomes(tmp_path, CI="true")["test_needs"]
    assert outcome == "error"
    assert "missing part: unicorn" in message


def test_missing_parts_are_told_to_the_shell(tmp_path: Path) -> None:
    """``python needs.py`` says which parts are missing, as ./run test asks it."""
    needs = shutil.copy(TESTS / "parts" / "needs.py", tmp_path)
    assert "oidc-provider" in subprocess.check_output([sys.executable, needs], text=True).split()
    (tmp_path / "oidc_provider" / "node_modules" / "oidc-provider").mkdir(parents=True)
    assert "oidc-provider" not in subprocess.check_output([sys.executable, needs], text=True)
