"""A form that the relying party posts to a provider's endpoint, authenticated as a client.

LAW: whatever it carries stands in the body or the Authorization header, never in the URL.
Source: RFC 6749, sections 2.3.1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from clefstorm.protocol.exchange import Request

Authentication = tuple[Mapping[str, str], Mapping[str, str]]
"""The headers and the form fields that authenticate the client in one request."""


def build_form_request(
    endpoint: str, form: Mapping[str, str], authentication: Authentication, *, max_bytes: int
) -> Request:
    """Build the POST; the answer may have ``max_bytes`` bytes."""
    headers, fields = authentication
    return Request(
        method="POST",
        url=endpoint,
        headers={
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **headers,
        },
        body=urlencode({**form, **fields}).encode("ascii"),
        max_bytes=max_bytes,
    )
