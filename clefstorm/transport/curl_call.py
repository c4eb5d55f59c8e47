"""One request as libcurl sends it, and its answer as it comes in.

LAW: libcurl is told everything that it would else take from the environment or decide itself: no
proxy, no cookie, no redirect, HTTP/1.1 alone, TLS 1.2 or later. Its callbacks raise nothing, and
its own words, which may quote the URL, go nowhere.
A request on a kept connection that dies without an answer is sent again by libcurl, on a new one.
That is right for an idempotent method. Any other (a POST) is sent once, because the server may have
acted on it, as on a code that can be used once; it fails with ``answer_broken``. A connection that
the server has visibly closed while it was idle is replaced before anything is sent.
Source: libcurl's easy options; RFC 9110, section 9.2.2; RFC 9112, sections 6.3 and 9.3.1.
"""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import SplitResult

import pycurl
from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders, HTTPInputError, parse_response_start_line

from clefstorm.errors import ConnectFailed, TransportError
from clefstorm.transport.http_client import (
    BROKEN,
    HEAD_TOO_LARGE,
    LARGEST_HEAD,
    NO_CONNECTION_IN_TIME,
    Failure,
    judge,
)

if [int(number) for number in pycurl.version.removeprefix("PycURL/").split(".")[:2]] < [7, 48]:
    raise ImportError("pycurl before 7.48 may crash when a forgotten request is collected")

MOST_INTERIM = 10
"""Interim answers (1xx) that may precede the answer."""

FRESH_SECONDS = 2
"""Idle no longer than that is a kept connection that a POST may use: hardly one that the server
closes in that very moment, which is what it can't survive."""

_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}

_PORTS = {"http": 80, "https": 443}
_STOP = 0
"""Fewer bytes taken than were given: ends the transfer."""

_BROKEN = {
    pycurl.E_UNSUPPORTED_PROTOCOL,  # HTTP/0.9, which is what anything looks like.
    pycurl.E_FTP_WEIRD_SERVER_REPLY,  # Of HTTP servers too, in spite of its name.
    pycurl.E_PARTIAL_FILE,
    pycurl.E_WRITE_ERROR,
    pycurl.E_ABORTED_BY_CALLBACK,
    pycurl.E_GOT_NOTHING,
    pycurl.E_SEND_ERROR,
    pycurl.E_RECV_ERROR,
    pycurl.E_BAD_CONTENT_ENCODING,
}
_TLS = {
    pycurl.E_SSL_CONNECT_ERROR: "no agreement, or cut off",
    pycurl.E_PEER_FAILED_VERIFICATION: "the certificate is not trusted, or is another host's",
    pycurl.E_SSL_CACERT_BADFILE: "the CA certificates can't be read",
    pycurl.E_SSL_ISSUER_ERROR: "the certificate's issuer is not trusted",
    pycurl.E_SSL_CIPHER: "no agreement about a cipher",
}
_TOO_LARGE = {pycurl.E_OUT_OF_MEMORY, 100}  # CURLE_TOO_LARGE since libcurl 8.6: one endless line.


class Trust(NamedTuple):
    """Where the CA certificates are; with neither, libcurl's own OpenSSL looks for them."""

    file: str | None
    folder: str | None


class CurlCall:
    """Has ``status`` and ``headers`` when the head of the answer was read; content is passed on."""

    def __init__(
        self,
        request: HTTPRequest,
        parts: SplitResult,
        *,
        trust: Trust | None,
        addresses: list[str],
    ) -> None:
        self._request = request
        self._parts = parts
        self._addresses = addresses
        self.trust = trust
        self.once = request.method not in _IDEMPOTENT
        """It must not be sent twice."""
        self.base = f"{parts.scheme}://{parts.netloc}/"
        self.status = 0
        self.headers: HTTPHeaders | None = None
        self.failure: Failure | None = None
        self.handle: pycurl.Curl | None = None
        """What is at work for it, from ``set_up`` to ``end``."""
        self._lines: list[str] = []
        self._head_size = 0
        self._interim = 0
        self._times_sent = 0
        self._os_error = 0

    def set_up(self, curl: pycurl.Curl) -> None:
        """Set all that Tornado's client leaves to libcurl, or would read differently."""
        self.handle = curl
        curl.setopt(pycurl.VERBOSE, 0)  # Tornado logs headers and bodies where DEBUG is on.
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.NOPROXY, "*")
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.HTTP_CONTENT_DECODING, 0)  # Decompression is ours, and bounded.
        self._set_up_connecting(curl)
        self._set_up_request(curl)
        curl.setopt(pycurl.PREREQFUNCTION, self._sending)
        curl.setopt(pycurl.HEADERFUNCTION, self._head_line)
        curl.setopt(pycurl.WRITEFUNCTION, self._content)

    def _set_up_connecting(self, curl: pycurl.Curl) -> None:
        host = self._parts.hostname or ""
        if ":" not in host:
            port = self._parts.port or _PORTS[self._parts.scheme]
            found = ",".join(f"[{ip}]" if ":" in ip else ip for ip in self._addresses)
            curl.setopt(pycurl.RESOLVE, [f"{host}:{port}:{found}"])
        if self.once:
            curl.setopt(pycurl.MAXAGE_CONN, FRESH_SECONDS)
        curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        file, folder = self.trust or Trust(None, None)
        for option, path in ((pycurl.CAINFO, file), (pycurl.CAPATH, folder)):
            if path is None:
                curl.unsetopt(option)
            else:
                curl.setopt(option, path)

    def _set_up_request(self, curl: pycurl.Curl) -> None:
        request, parts = self._request, self._parts
        curl.setopt(
            pycurl.REQUEST_TARGET, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        )
        if request.method == "HEAD":
            curl.setopt(pycurl.NOBODY, True)
        else:
            if request.body is not None:
                curl.setopt(pycurl.POSTFIELDS, request.body)
            curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        headers = HTTPHeaders(request.headers)
        if request.user_agent:
            headers["User-Agent"] = request.user_agent
        lines = [
            (f"{name}: {value}" if value else f"{name};").encode("latin-1")
            for name, value in headers.get_all()
        ]
        # A name and a colon alone take away what libcurl would add.
        own = ["Accept", "Expect", *([] if request.method == "POST" else ["Content-Type"])]
        lines += [f"{name}:".encode() for name in own if name not in headers]
        curl.setopt(pycurl.HTTPHEADER, lines)

    def _sending(self, *_ends: object) -> int:
        """libcurl calls it before each time that it sends the request."""
        self._times_sent += 1
        if self._times_sent > 1 and self.once:
            self.failure = BROKEN
            return int(pycurl.PREREQFUNC_ABORT)
        return int(pycurl.PREREQFUNC_OK)

    def _head_line(self, raw: bytes) -> int | None:
        self._head_size += len(raw)
        if self._head_size > LARGEST_HEAD:
            self.failure = HEAD_TOO_LARGE
            return _STOP
        if self.headers is not None:
            return None  # Trailers, of which nobody makes use.
        line = raw.decode("latin-1").rstrip("\r\n")
        if line:
            self._lines.append(line)
            return None
        try:
            self._read_head()
        except HTTPInputError:
            self.failure = BROKEN
            return _STOP
        return None

    def _read_head(self) -> None:
        """Raises HTTPInputError for a head that could be understood in two ways."""
        start, *fields = self._lines
        status = parse_response_start_line(start).code
        headers = HTTPHeaders.parse("\r\n".join(fields))
        if status < 200:
            self._lines.clear()
            self._head_size = 0
            self._interim += 1
            if self._interim > MOST_INTERIM:
                raise HTTPInputError("too many interim answers")
            return
        lengths = {length.strip() for length in headers.get("Content-Length", "").split(",")}
        if len(lengths) > 1 or (lengths != {""} and "Transfer-Encoding" in headers):
            raise HTTPInputError("where does it end?")
        self.status, self.headers = status, headers

    def _content(self, chunk: bytes) -> None:
        if self._request.streaming_callback is not None:
            self._request.streaming_callback(chunk)

    def end(self) -> None:
        """Take note of what the handle knows, before it serves another call."""
        if self.handle is not None:
            self._os_error = self.handle.getinfo(pycurl.OS_ERRNO)
            self.handle = None

    def failure_of(self, number: int) -> Failure:
        """Say what libcurl's error number means; 0 where it saw none."""
        if self.failure is not None:
            return self.failure
        if number == pycurl.E_OPERATION_TIMEDOUT:
            return NO_CONNECTION_IN_TIME
        if number == pycurl.E_COULDNT_CONNECT:
            number = self._os_error
            return judge(OSError(number, os.strerror(number)) if number else OSError())
        if number in _TLS:
            return Failure(ConnectFailed, f"TLS refused: {_TLS[number]}", "tls_refused")
        if number in _TOO_LARGE and self.headers is None:
            return HEAD_TOO_LARGE
        if number in _BROKEN or not number:
            return BROKEN
        return Failure(TransportError, f"libcurl failed with number {number}", "client_failed")
