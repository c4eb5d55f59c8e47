"""The code of the tutorial is what runs here: nothing but its ports is changed."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from tornado.testing import bind_unused_port

from clefstorm.testing import Browser

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "two_screens.rst"


def code_blocks(text: str) -> dict[str, str]:
    """Return the programs of a page by their captions."""
    blocks = re.findall(r"   :caption: (\S+)\n\n((?:   .*\n|\n)+)", text)
    return {name: re.sub(r"(?m)^ {3}", "", code).strip() + "\n" for name, code in blocks}


def free_port() -> str:
    sock, port = bind_unused_port()
    sock.close()
    return str(port)


@pytest.fixture
def tutorial(tmp_path: Path):
    """Write the two programs into an empty folder and start them as the page says."""
    text = TUTORIAL.read_text()
    ports = {"8300": free_port(), "8301": free_port()}
    for told, free in ports.items():
        text = text.replace(told, free)
    programs = code_blocks(text)
    with ExitStack() as stack:
        for name in ("provider.py", "app.py"):
            (tmp_path / name).write_text(programs[name])
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, name], cwd=tmp_path, stdout=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            assert "http://" in process.stdout.readline()
        yield f"http://127.0.0.1:{ports['8300']}", f"http://localhost:{ports['8301']}"


@pytest.mark.gen_test(timeout=30)
async def test_the_tutorial_ends_as_it_says(tutorial) -> None:
    """Two browsers sign in; one button at the provider, and both are told and signed out."""
    application, provider = tutorial
    async with AsyncExitStack() as stack:
        screens = [await stack.enter_async_context(Browser()) for _ in range(2)]
        streams = []
        for screen in screens:
            await screen.get(f"{application}/")
            page = await screen.submit(form="demo-accounts", button="alice")
            assert "<h1>Hello Alice Archer</h1>" in page.text
            stream = await stack.enter_async_context(screen.stream(f"{application}/auth/events"))
            assert (await stream.next()).event == "hello"
            streams.append(stream)
        operator = await stack.enter_async_context(Browser())
        await operator.get(f"{provider}/admin")
        await operator.submit(form="sign-out-alice")
        for screen, stream in zip(screens, streams, strict=True):
            assert (await stream.next()).event == "logout"
            page = await screen.get(f"{application}/")
            assert page.url.startswith(provider)
