"""The programs of the page on Eternaltwin are what runs here: only their ports are changed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts.page_programs import running, text_of, with_free_ports, write_programs

from clefstorm.testing import Browser


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The page's programs in an empty folder; the three servers are started."""
    text, ports = with_free_ports(text_of("how-to/eternaltwin.rst"), "8300", "8301", "8302")
    write_programs(tmp_path, text)
    with running(tmp_path, ("provider.py", "app.py", "by_hand.py")) as said:
        assert all("http://" in line for line in said)
        yield {
            "app": f"http://127.0.0.1:{ports['8300']}",
            "by_hand": f"http://127.0.0.1:{ports['8302']}",
            "folder": str(tmp_path),
        }


@pytest.mark.gen_test(timeout=60)
async def test_the_programs_do_what_the_page_says(addresses: dict[str, str]) -> None:
    """Both applications sign in, and the calls about users answer."""
    async with Browser() as browser:
        await browser.get(f"{addresses['app']}/")
        page = await browser.submit(form="demo-accounts", button="alice")
        assert page.text == "<h1>Hello Alice Archer</h1>"
        page = await browser.get(f"{addresses['app']}/friends?name=A")
        assert json.loads(page.text) == {
            "names": ["Bob Baker", "Carol Carver", "Dave Dyer"],
            "count": 4,
        }
    async with Browser() as browser:
        await browser.get(f"{addresses['by_hand']}/login")
        page = await browser.submit(form="demo-accounts", button="bob", follow=False)
        back = page.headers["Location"]
        assert (await browser.get(back)).text == "<h1>Hello Bob Baker</h1>"
        assert (await browser.get(back)).status == 400
        await browser.get(f"{addresses['by_hand']}/login", follow=False)
        assert (await browser.get(back)).status == 400
    script = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "script.py"),
        cwd=addresses["folder"],
        stdout=subprocess.PIPE,
    )
    said, _ = await script.communicate()
    alice, bob, *rest = said.decode().splitlines()
    assert (alice.split(" ", 1)[1], bob.split(" ", 1)[1]) == ("Alice Archer", "Bob Baker")
    assert rest == ["4", "Bob Baker", "True", "blocking_in_loop"]
    assert script.returncode == 0
