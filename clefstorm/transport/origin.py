"""Origins: who is at the other end of a URL.

LAW: a URL is read once, here; what is compared is what is sent. No error quotes a URL, whose
query may hold a secret.
Source: RFC 6454, section 4; RFC 3986, section 3.2; RFC 9110, section 4.2.4.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from clefstorm.errors import URLError
from clefstorm.protocol.redirects import DEFAULT_PORTS

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?\.?")
_IPV6 = re.compile(r"[0-9a-f:]*:[0-9a-f:.]*")  # Without a zone, which means nothing elsewhere.
_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, repr=False)
class Origin:
    """Scheme, host and port; the host is in lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    __repr__ = __str__  # So does the evidence of an error show it.


def read_url(url: str) -> tuple[Origin, SplitResult]:
    """Return the origin of an http or https URL, and the URL in parts.

    Raises URLError (code ``url_invalid``) with the reason.
    """
    if not isinstance(url, str):
        raise _invalid("it must be a text")
    if not url:
        raise _invalid("it is empty")
    try:
        parts = urlsplit(url)
        host = parts.hostname
        if host is not None and ":" in host:
            host = ipaddress.IPv6Address(host).compressed
    except ValueError:
        raise _invalid("it can't be read") from None
    if not _VISIBLE.fullmatch(url):
        raise _invalid("anything but visible ASCII has to be percent-encoded")
    if parts.scheme not in DEFAULT_PORTS:
        raise _invalid("it must begin with http:// or https://")
    if "@" in parts.netloc:
        raise _invalid("user info has no place in it")
    if "#" in url:
        # What is added to the URL would be part of it, and stay here.
        raise _invalid("a fragment is never sent")
    if host is None or not (_IPV6.fullmatch(host) or _HOST_NAME.fullmatch(host)):
        raise _invalid("it must have a host")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _invalid("a port is a number between 1 and 65535")
    return Origin(parts.scheme, host, DEFAULT_PORTS[parts.scheme] if port is None else port), parts


def read_hostname(hostname: str, port: int | None) -> Origin:
    """Return the origin that ``hostname``, which includes the scheme, and ``port`` name together.

    Raises URLError (codes ``url_invalid``, ``port_invalid``).
    """
    origin, parts = read_url(hostname)
    if parts.path not in ("", "/") or parts.query:
        raise _invalid("a connection is made for an origin, without a path")
    if port is None:
        return origin
    if type(port) is not int or not 0 < port < 65536:
        raise URLError("port is a number between 1 and 65535", code="port_invalid", got=port)
    if parts.port not in (None, port):
        raise URLError("hostname and port contradict each other", code="port_invalid", got=port)
    return Origin(origin.scheme, origin.host, port)


def _invalid(reason: str) -> URLError:
    return URLError("not a URL that can be fetched", code="url_invalid", reason=reason)
