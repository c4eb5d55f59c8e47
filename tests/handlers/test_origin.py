"""Which requests are navigations, and which come from another site."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from clefstorm.errors import RequestRefused
from clefstorm.handlers.origin import is_navigation, refuse_foreign, refuse_framing

HTML = "text/html,application/xhtml+xml"


def request(**headers: str) -> HTTPServerRequest:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "app.example.com", **sent}),
    )


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"Sec_Fetch_Mode": "navigate"}, True, id="navigate"),
        pytest.param({"Sec_Fetch_Mode": "navigate", "Accept": "*/*"}, True, id="mode_decides"),
        pytest.param({"Sec_Fetch_Mode": "cors", "Accept": HTML}, False, id="fetch_of_html"),
        pytest.param({"Sec_Fetch_Mode": "no-cors"}, False, id="image"),
        pytest.param({"Sec_Fetch_Mode": "websocket"}, False, id="websocket"),
        pytest.param({"Accept": HTML}, True, id="old_browser"),
        pytest.param({"Accept": "application/json"}, False, id="old_xhr"),
        pytest.param({"Accept": "*/*"}, False, id="accepts_anything"),
        pytest.param({}, False, id="says_nothing"),
    ],
)
def test_navigation(headers: Mapping[str, str], expected: bool) -> None:
    """XHR: Sec-Fetch-Mode other than navigate; without it, no text/html in Accept."""
    assert is_navigation(request(**headers)) is expected


@pytest.mark.parametrize(
    ("headers", "secure", "foreign"),
    [
        pytest.param({"Sec_Fetch_Site": "same-origin"}, True, False, id="same_origin"),
        pytest.param({"Sec_Fetch_Site": "none"}, True, False, id="typed"),
        pytest.param({"Origin": "https://app.example.com"}, True, False, id="own_origin"),
        pytest.param({"Origin": "HTTPS://App.Example.com"}, True, False, id="own_in_capitals"),
        pytest.param({"Origin": "http://app.example.com"}, False, False, id="own_http_origin"),
        pytest.param({}, True, False, id="no_browser"),
        pytest.param(
            {"Sec_Fetch_Site": "same-origin", "Origin": "null"}, True, False, id="site_decides"
        ),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, True, True, id="cross_site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, True, True, id="sister_site"),
        pytest.param({"Sec_Fetch_Site": "surprise"}, True, True, id="unknown_word"),
        pytest.param(
            {"Sec_Fetch_Site": "cross-site", "Origin": "https://app.example.com"},
            True,
            True,
            id="site_decides_against",
        ),
        pytest.param({"Origin": "https://evil.example"}, True, True, id="other_origin"),
        pytest.param({"Origin": "https://app.example.com.evil.example"}, True, True, id="longer"),
        pytest.param({"Origin": "https://app.example.com:444"}, True, True, id="other_port"),
        pytest.param({"Origin": "http://app.example.com"}, True, True, id="http_page_of_https"),
        pytest.param({"Origin": "null"}, True, True, id="null"),
        pytest.param({"Origin": ""}, True, True, id="empty"),
        pytest.param({"Origin": "http://["}, False, True, id="rubbish"),
    ],
)
def test_foreign(headers: Mapping[str, str], secure: bool, foreign: bool) -> None:
    """Requests that a page of another origin has caused are refused."""
    if not foreign:
        refuse_foreign(request(**headers), secure=secure)
        return
    with pytest.raises(RequestRefused) as caught:
        refuse_foreign(request(**headers), secure=secure)
    assert caught.value.code == "cross_site"


@pytest.mark.parametrize(
    ("into", "site", "refused"),
    [
        pytest.param("document", "cross-site", False, id="link"),
        pytest.param(None, None, False, id="old_browser"),
        pytest.param("iframe", "same-origin", False, id="own_frame"),
        pytest.param("iframe", "cross-site", True, id="frame"),
        pytest.param("object", "same-site", True, id="object"),
        pytest.param("iframe", None, True, id="frame_without_site"),
    ],
)
def test_framing(into: str | None, site: str | None, refused: bool) -> None:
    """A login is not begun in another site's frame."""
    sent = {"Sec_Fetch_Dest": into, "Sec_Fetch_Site": site}
    framed = request(**{name: value for name, value in sent.items() if value})
    if not refused:
        refuse_framing(framed)
        return
    with pytest.raises(RequestRefused, match="embed"):
        refuse_framing(framed)
