"""The code of the tutorial is what runs here: nothing but its ports is changed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from parts.page_programs import running, text_of, with_free_ports, write_programs

from clefstorm.testing import Browser


@pytest.fixture
def tutorial(tmp_path: Path):
    """Write the two programs into an empty folder and start them as the page says."""
    text, ports = with_free_ports(text_of("tutorials/two_screens.rst"), "8300", "8301")
    write_programs(tmp_path, text)
    with running(tmp_path, ("provider.py", "app.py")) as said:
        assert all("http://" in line for line in said)
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
