"""What all our handlers share: a bounded body, one way to show errors, quiet logs.

The query of a request is taken out of ``self.request`` at once, into ``sent_query``, so that no
access log, no summary and no repr can print an authorization response.
LAW: nothing here knows what a login is; no private name of Tornado's is used.
Source: DESIGN, law 4 (secrets) and law 8 (bounds); RFC 9110, section 15.5.14 (413).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import tornado.web
from tornado.escape import json_encode

from clefstorm.errors import ClefStormError, RequestRefused
from clefstorm.handlers.origin import is_navigation
from clefstorm.handlers.pages import HEADERS, problem_html
from clefstorm.handlers.problems import Problem, problem_of
from clefstorm.relying_party import RelyingParty

LARGEST_BODY = 64 * 1024
"""Bytes of a form that are kept."""
LARGEST_DISCARDED = 16 * 1024 * 1024
"""Bytes of a refused body that are read and thrown away, so that its sender gets to read the 413;
cutting the connection at once would lose the answer. Larger ones are cut."""
BODY_SECONDS = 20.0
"""Seconds in which a body must have arrived; then the connection is cut."""
MOST_PARAMETERS = 100
JSON_TYPE = "application/json; charset=utf-8"

_log = logging.getLogger("clefstorm.handlers")

Pairs = list[tuple[str, str]]


def read_pairs(text: str) -> Pairs:
    """Read a query or a form, in order and with its repetitions.

    Raises RequestRefused (code ``parameters_malformed``) when it is not UTF-8 or has too many.
    """
    try:
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError:
        raise RequestRefused(
            "the parameters of the request can't be read", code="parameters_malformed"
        ) from None


def the_one(pairs: Pairs, name: str) -> str | None:
    """Return the value of a parameter, None when it is absent or empty.

    Raises RequestRefused (code ``parameter_repeated``) when it stands twice.
    """
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        raise RequestRefused(
            "a parameter stands twice in the request", code="parameter_repeated", name=name
        )
    return values[0] or None if values else None


@tornado.web.stream_request_body
class Handler(tornado.web.RequestHandler):
    """The base of our handlers; ``login_routes`` binds the relying party."""

    relying_party: ClassVar[RelyingParty]
    takes_form: ClassVar[bool] = False

    def initialize(self) -> None:
        request = self.request
        self.sent_query = request.query
        request.uri, request.query = request.path, ""
        request.arguments.clear()
        request.query_arguments.clear()
        self._body = bytearray()
        self._body_size = 0
        self._refused = False
        self._problem: Problem | None = None

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def check_xsrf_cookie(self) -> None:
        """Pass: runs before the body is read. What takes forms checks for itself, or is exempt."""

    def prepare(self) -> Awaitable[None] | None:
        # Public, but of HTTP1Connection and not of its interface.
        if (set_timeout := getattr(self.request.connection, "set_body_timeout", None)) is not None:
            set_timeout(BODY_SECONDS)
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length[:20]) > LARGEST_BODY:
            self._refuse_body(int(length[:20]))
        return None

    def data_received(self, chunk: bytes) -> None:
        self._body_size += len(chunk)
        if not self._refused:
            self._body += chunk
            if self._body_size > LARGEST_BODY:
                self._refuse_body(self._body_size)
        elif self._body_size > LARGEST_DISCARDED:
            self.finish()

    def _refuse_body(self, size: int) -> None:
        self._refused = True
        self._body.clear()
        error = RequestRefused("the request is too large", code="body_too_large", bytes=size)
        self._write_problem(self._note(error))
        lingers = self.takes_form and self.request.method == "POST" and size <= LARGEST_DISCARDED
        # Who sends "Expect" waits for our answer before the body: nothing is on its way.
        if lingers and "Expect" not in self.request.headers:
            self.flush()  # the answer is out; form() finishes when the body is over
        else:
            self.set_header("Connection", "close")
            self.finish()

    def query(self) -> Pairs:
        """The parameters of the URL, in order."""
        return read_pairs(self.sent_query)

    def form(self) -> Pairs:
        """The parameters of the body, in order. The first call of every ``post``.

        Raises RequestRefused for another media type than a form's.
        """
        if self._refused:
            raise tornado.web.Finish()
        media_type = self.request.headers.get("Content-Type", "").partition(";")[0]
        if media_type.strip().lower() != "application/x-www-form-urlencoded":
            raise RequestRefused("the request is not a form", code="content_type", got=media_type)
        try:
            return read_pairs(self._body.decode())
        except UnicodeDecodeError:
            raise RequestRefused(
                "the parameters of the request can't be read", code="parameters_malformed"
            ) from None

    def answer_json(self, answer: Mapping[str, Any]) -> None:
        """Write a JSON answer."""
        self.set_header("Content-Type", JSON_TYPE)
        self.write(json_encode(answer))

    def wants_page(self) -> bool:
        """Whether errors are shown as a page; otherwise as JSON."""
        return is_navigation(self.request)

    def problem_of(self, error: BaseException | None, *, status: int) -> Problem:
        """What to answer to an error; for handlers whose caller wants other statuses."""
        return problem_of(error, status=status)

    def problem_json(self, problem: Problem) -> bytes:
        """A problem for a script."""
        return json_encode(
            {"error": problem.code, "message": problem.text, "reference": problem.reference}
        ).encode()

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._note(value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self._write_problem(self._problem or self._note(None, status=status_code))
        self.finish()

    def _note(self, error: BaseException | None, *, status: int = 500) -> Problem:
        """Write the log line of an error, with the reference that the browser is shown."""
        problem = self._problem = self.problem_of(error, status=status)
        expected = error is None or isinstance(error, ClefStormError | tornado.web.HTTPError)
        _log.log(
            logging.ERROR if problem.status >= 500 else logging.WARNING,
            "%d %s %s (%s) code=%s reference=%s: %s",
            problem.status,
            self.request.method,
            self.request.path,
            self.request.remote_ip,
            problem.code,
            problem.reference,
            error if expected else type(error).__name__,
            exc_info=None if expected else error,
        )
        return problem

    def _write_problem(self, problem: Problem) -> None:
        self.set_status(problem.status)
        if problem.status == 405:
            self.set_header("Allow", ", ".join(self._methods()))
        if problem.retry_after is not None:
            self.set_header("Retry-After", problem.retry_after)
        if self.wants_page():
            body = problem_html(problem)
        else:
            self.set_header("Content-Type", JSON_TYPE)
            body = self.problem_json(problem)
        self.set_header("Content-Length", len(body))
        self.write(body)

    def _methods(self) -> list[str]:
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower())
            is not getattr(tornado.web.RequestHandler, method.lower())
        ]
