"""The programs of the two pages on Clef are what runs here: nothing but their ports is changed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from clef_names import wave_address
from parts.page_programs import running, text_of, with_free_ports, write_programs

from clefstorm.testing import Browser

PAGES = ("how-to/clef.rst", "how-to/migrate_from_0_1.rst")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Both pages' programs in an empty folder; the servers are started, the addresses answered."""
    text, ports = with_free_ports(text_of(*PAGES), "8300", "8301", "8302")
    write_programs(tmp_path, text)
    with running(tmp_path, ("provider.py", "app.py", "by_hand.py")) as said:
        assert all("http://" in line for line in said)
        yield {
            "folder": str(tmp_path),
            "app": f"http://127.0.0.1:{ports['8300']}",
            "provider": f"http://localhost:{ports['8301']}",
            "by_hand": f"http://127.0.0.1:{ports['8302']}",
        }


async def sign_in(browser: Browser, address: str):
    page = await browser.get(f"{address}/")
    await browser.get(wave_address(page.text), initiator=page)
    return await browser.submit(form="demo-accounts", button="alice")


@pytest.mark.gen_test(timeout=60)
async def test_the_programs_do_what_the_pages_say(programs) -> None:
    """Both applications sign in by the wave, and the webhook reaches both."""
    async with AsyncExitStack() as stack:
        one, two, operator = [await stack.enter_async_context(Browser()) for _ in range(3)]
        assert "<h1>Hello Alice Archer</h1>" in (await sign_in(one, programs["app"])).text
        page = await sign_in(two, programs["by_hand"])
        assert re.fullmatch(r"<h1>Hello \d+</h1>", page.text)
        stream = await stack.enter_async_context(one.stream(f"{programs['app']}/auth/events"))
        assert (await stream.next()).event == "hello"
        polling = asyncio.ensure_future(two.fetch(f"{programs['by_hand']}/poll"))
        await asyncio.sleep(0.1)
        await operator.get(f"{programs['provider']}/admin")
        await operator.submit(form="sign-out-alice")
        assert (await stream.next()).event == "logout"
        assert (await polling).json() == {"signed_in": False}
        assert "clef-button" in (await two.get(f"{programs['by_hand']}/")).text
        forged = await two.get(f"{programs['by_hand']}/callback?code=x&state=y")
        assert forged.status == 400


def test_what_ran_before_runs(programs) -> None:
    """The program of the migration page says what the page promises."""
    done = subprocess.run(
        [sys.executable, "unchanged.py"],
        cwd=programs["folder"],
        capture_output=True,
        text=True,
        check=True,
    )
    button, *said = done.stdout.splitlines()
    assert 'data-type="register"' in button
    assert said == ["Invalid OAuth Code. 400", "still signed in", "True ('b', 'hello')"]
