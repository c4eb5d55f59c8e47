"""/v3/clef.js in a real browser: what each attribute of the element does."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from clef_names import CALLBACK
from tornado.web import Application, RequestHandler

from clefstorm import ClefStorm, ClefWaveStyle

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.gen_test(timeout=60)]


class Waves(RequestHandler):
    """One wave of each look, under a policy that lets in the provider's script alone."""

    storm: ClefStorm

    def get(self) -> None:
        origin = self.storm.api_url.removesuffix("/api/v1/")
        self.set_header("Content-Security-Policy", f"default-src 'none'; script-src {origin}")
        for name, typ, style in (
            ("plain", "login", None),
            ("white", "register", ClefWaveStyle("white", "flat")),
            ("custom", "connect", ClefWaveStyle(custom=True)),
            ("embed", "login", ClefWaveStyle(embed=True, custom=False)),
        ):
            button = self.storm.generate_button(CALLBACK, f"state of {name}", typ, style)
            self.write(f"<div id={name}>{button}</div>")


@pytest.fixture
def app() -> Application:
    return Application([("/", Waves)])


async def test_what_is_drawn(storm, chromium_browser, http_server, http_port, monkeypatch) -> None:
    """One link for each element, where it stands, in its looks, leading to its own address."""
    monkeypatch.setattr(Waves, "storm", storm, raising=False)
    page = await chromium_browser.new_page()
    await page.goto(f"http://127.0.0.1:{http_port}/")
    drawn = await page.evaluate(
        """Array.from(document.querySelectorAll("div"), (div) => {
            const [link, ...more] = div.querySelectorAll("a.clef-wave");
            const look = getComputedStyle(link);
            return [div.id, more.length, link.textContent, look.backgroundColor,
                    look.borderRadius, look.display, link.href];
        })"""
    )
    assert [row[:6] for row in drawn] == [
        ["plain", 0, "Log in with a wave", "rgb(14, 111, 197)", "9.6px", "inline-block"],
        ["white", 0, "Register with a wave", "rgb(255, 255, 255)", "0px", "inline-block"],
        ["custom", 0, "Connect with a wave", "rgba(0, 0, 0, 0)", "0px", "inline-block"],
        ["embed", 0, "Log in with a wave", "rgb(14, 111, 197)", "9.6px", "block"],
    ]
    for name, *_, href in drawn:
        (back,) = parse_qs(urlsplit(href).query)["redirect_url"]
        assert parse_qs(urlsplit(back).query) == {"state": [f"state of {name}"]}
