"""Origins and sites, and the headers by which a browser tells a server who is asking.

LAW: pure functions of URLs. No list of public suffixes is kept: the site of a name is its last
two labels, which is right for the names that tests use; an address, and a name without a dot, is
its own site, so that 127.0.0.1 and localhost are two. Source: Fetch Metadata Request Headers,
sections 2.1 to 2.4; Fetch Standard, section 3.2 (Origin); Referrer Policy, section 8.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import urlsplit, urlunsplit

DEFAULT_POLICY = "strict-origin-when-cross-origin"


def host_of(url: str) -> str:
    """Return the host name or address in lower case, without the brackets of IPv6."""
    return urlsplit(url).hostname or ""


def port_of(url: str) -> int:
    """Return the port, also where it goes without saying."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def origin_of(url: str) -> str:
    """Return scheme://host[:port], without the port that goes without saying."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = parts.port in (None, 443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host}" + ("" if usual else f":{parts.port}")


def is_address(host: str) -> bool:
    """Return whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def site_of(url: str) -> str:
    """Return scheme://registrable-name; ports of one host are one site."""
    host = host_of(url)
    if not is_address(host):
        host = ".".join(host.split(".")[-2:])
    return f"{urlsplit(url).scheme}://{host}"


def is_trustworthy(url: str) -> bool:
    """Return whether browsers send fetch metadata to this URL: https, or http to this machine."""
    host = host_of(url)
    local = host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
    return urlsplit(url).scheme == "https" or local


def fetch_site(initiator: str | None, urls: Sequence[str]) -> str:
    """Return Sec-Fetch-Site for the last of the URLs that a request has been sent to in turn.

    ``initiator`` is the URL of the page that started it, None when the user typed it. One
    detour over another site taints the whole chain.
    """
    if initiator is None:
        return "none"
    if all(origin_of(url) == origin_of(initiator) for url in urls):
        return "same-origin"
    return "same-site" if is_same_site(initiator, urls) else "cross-site"


def is_same_site(initiator: str, urls: Sequence[str]) -> bool:
    """Return whether all the URLs are on the initiator's site."""
    return all(site_of(url) == site_of(initiator) for url in urls)


def referrer(initiator: str, url: str, policy: str) -> str | None:
    """Return the Referer header under the initiator's Referrer-Policy, None for no header."""
    whole = urlunsplit(urlsplit(initiator)._replace(fragment=""))
    origin = f"{origin_of(initiator)}/"
    same = origin_of(initiator) == origin_of(url)
    downgrade = initiator.startswith("https:") and not is_trustworthy(url)
    if policy == "no-referrer" or (policy == "same-origin" and not same):
        return None
    if downgrade and policy not in ("unsafe-url", "origin", "origin-when-cross-origin"):
        return None
    if policy in ("unsafe-url", "no-referrer-when-downgrade"):
        return whole
    if policy in ("origin", "strict-origin"):
        return origin
    return whole if same else origin


def request_origin(initiator: str, urls: Sequence[str], policy: str | None) -> str:
    """Return the Origin header for the last of the URLs; it is "null" where it is hidden.

    ``policy`` is the initiator's Referrer-Policy, which hides it from navigations; None for
    requests of scripts, whose origin is always told.
    """
    own = origin_of(initiator)
    # A redirect away from a foreign origin: what comes next may be that origin's doing.
    tainted = any(origin_of(one) not in (origin_of(other), own) for one, other in pairwise(urls))
    hidden = policy is not None and referrer(initiator, urls[-1], policy) is None
    return "null" if tainted or hidden else own
