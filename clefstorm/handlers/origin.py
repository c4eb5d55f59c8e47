"""Who sent a request: a page of this site or of another, a navigation or a script.

LAW: reads headers that scripts can't forge (``Sec-Fetch-*``, ``Origin``) and judges by them alone.
Source: Fetch Metadata Request Headers (W3C), sections 2 and 6; RFC 6454, section 7.
"""

from __future__ import annotations

from tornado.httputil import HTTPServerRequest

from clefstorm.errors import RequestRefused


def is_navigation(request: HTTPServerRequest) -> bool:
    """True when the answer will be shown as a page; False for XHR, fetch, images and the like.

    ``Sec-Fetch-Mode`` says it; without that header, whoever takes text/html is shown a page.
    """
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in request.headers.get("Accept", "")


def refuse_framing(request: HTTPServerRequest) -> None:
    """Raise RequestRefused (code ``cross_site``) when another site loads this into a frame."""
    into = request.headers.get("Sec-Fetch-Dest", "document")
    if into != "document" and not _fetched_by_own_origin(request):
        raise RequestRefused("a page of another site tried to embed this", code="cross_site")


def _fetched_by_own_origin(request: HTTPServerRequest) -> bool:
    return request.headers.get("Sec-Fetch-Site") in ("same-origin", "none")


def refuse_foreign(request: HTTPServerRequest, *, secure: bool) -> None:
    """Raise RequestRefused (code ``cross_site``) for a request that another origin has caused.

    Sec-Fetch-Site decides; browsers leave it out over plain http to other hosts than localhost,
    then an Origin must be ours. A request with neither is a same-origin GET, or not from a
    browser, where no page could have caused it. ``secure``: our origin is an https one, so an
    http page of the same host is foreign.
    """
    if "Sec-Fetch-Site" in request.headers:
        foreign = not _fetched_by_own_origin(request)
    elif "Origin" in request.headers:
        scheme, _, host = request.headers["Origin"].lower().partition("://")
        foreign = host != request.host.lower() or (secure and scheme != "https")
    else:
        foreign = False
    if foreign:
        raise RequestRefused(
            "the request came from a page of another site",
            code="cross_site",
            site=request.headers.get("Sec-Fetch-Site", ""),
            origin=request.headers.get("Origin", ""),
        )
