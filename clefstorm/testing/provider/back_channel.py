"""Logout tokens on their way from the embedded provider to its clients, and a log of them.

LAW: a client that is slow or down delays nobody but itself, and never an end of a session.
Source: OpenID Connect Back-Channel Logout 1.0, sections 2.5 and 2.8.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

TIMEOUT = 3.0
"""Seconds that a client has for its answer."""

LOG_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One call of a client's backchannel_logout_uri, and how it ended.

    ``at`` is epoch seconds; ``sid`` is None when all sessions of the subject were meant;
    ``status`` is None when no answer came, and ``error`` then says why.
    """

    at: float
    client_id: str
    url: str
    sub: str
    sid: str | None
    status: int | None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the client said that the logout is done (section 2.8; 204 is commonly sent)."""
        return self.status in (200, 204)


class BackChannel:
    """Sends logout tokens. ``ca_certs``: a file of CAs for https clients, None the system's."""

    def __init__(self, *, clock: Callable[[], float], ca_certs: str | None) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=LOG_LENGTH)
        self._clock = clock
        self._ca_certs = ca_certs
        self._http: AsyncHTTPClient | None = None

    async def deliver(
        self, logout_token: str, *, client_id: str, url: str, sub: str, sid: str | None
    ) -> Delivery:
        """Post one logout token and log what came of it, failures too."""
        if self._http is None:
            self._http = SimpleAsyncHTTPClient(force_instance=True, max_clients=100)
        request = HTTPRequest(
            url,
            method="POST",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode({"logout_token": logout_token}),
            follow_redirects=False,
            connect_timeout=TIMEOUT,
            request_timeout=TIMEOUT,
            ca_certs=self._ca_certs,
        )
        status, error = None, None
        try:
            status = (await self._http.fetch(request, raise_error=False)).code
        except HTTPClientError as failure:
            # Tornado's own words for "too late" and "cut off", under the made-up status 599.
            error = failure.message or "no answer"
        except OSError as failure:
            error = failure.strerror or type(failure).__name__
        delivery = Delivery(
            at=self._clock(),
            client_id=client_id,
            url=url,
            sub=sub,
            sid=sid,
            status=status,
            error=error,
        )
        self.deliveries.append(delivery)
        return delivery

    def close(self) -> None:
        """Close the client; it opens again at the next delivery."""
        if self._http is not None:
            self._http.close()
            self._http = None
