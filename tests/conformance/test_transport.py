"""Answers that come too late, too large or not at all, at every endpoint that is asked."""

from __future__ import annotations

import ssl

import pytest
import trustme
from rows import Refused, Row, does
from stage import Stage, shown_code
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from clefstorm.errors import ConfigurationError

SHORT = {"deadline": 0.5}
STATUS_CODES = {
    "discovery": "metadata_status",
    "jwks": "jwks_status",
    "token": "token_answer_status",
    "userinfo": "userinfo_status",
}


@does("Core 16.17 and RFC 6749 1.6", "502 ``tls_refused``")
async def untrusted_certificate(stage: Stage) -> None:
    """A provider whose certificate nobody vouches for is not spoken to"""
    assert (await stage.sign_in()).text == "here"
    asked: list[str] = []

    class Impostor(RequestHandler):
        def get(self) -> None:
            asked.append(self.request.path)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    sock, port = bind_unused_port()
    server = HTTPServer(Application([(".*", Impostor)]), ssl_options=context)
    server.add_socket(sock)
    stage.configure("second", issuer=f"https://localhost:{port}")
    page = await stage.sign_in(provider="second")
    server.stop()
    await server.close_all_connections()
    assert (page.status, shown_code(page)) == (502, "tls_refused")
    assert not asked


@does("Core 16.17 and RFC 6749 3.1", "refused when it is configured")
async def issuer_without_tls(stage: Stage) -> None:
    """A provider on another machine is not configured without https"""
    assert (await stage.sign_in()).text == "here"
    with pytest.raises(ConfigurationError) as refused:
        stage.configure(issuer="http://id.example.com")
    assert refused.value.code == "issuer_invalid"
    with pytest.raises(ConfigurationError) as refused:
        stage.configure(redirect_uri="http://app.example.com/auth/callback")
    assert refused.value.code == "redirect_uri_invalid"


BOUNDS = "Design, law 8; RFC 9110 15"

ROWS: tuple[Row, ...] = (
    untrusted_certificate,
    issuer_without_tls,
    *(
        Refused(fault=fault, at=place, source=BOUNDS, code="flow_deadline", hurried=SHORT)
        for place in STATUS_CODES
        for fault in ("hangs", "drips")
    ),
    *(
        Refused(fault=fault, at=place, source=BOUNDS, code=code)
        for place in STATUS_CODES
        for fault, code in (
            ("never_ends", "answer_too_large"),
            ("inflates", "answer_too_large"),
            ("inflates_to_gigabytes", "answer_too_large"),
            ("too_large", "answer_too_large"),
            ("headers_too_large", "headers_too_large"),
            ("cut", "answer_broken"),
            ("packed_badly", "answer_broken"),
            ("packed_strangely", "answer_broken"),
        )
    ),
    *(
        Refused(fault=fault, at=place, source="RFC 6749 3.2 and RFC 9110 15", code=code)
        for place, code in STATUS_CODES.items()
        for fault in ("redirects_with_body", "says_503")
    ),
    Refused(fault="redirects", at="token", source="RFC 9700 4.12", code="token_answer_status"),
    Refused(fault="redirects", at="userinfo", source="RFC 6750 5.3", code="userinfo_status"),
    Refused(fault="says_500", at="token", source="RFC 6749 5.2", code="token_answer_status"),
    Refused(fault="says_404", at="token", source="RFC 6749 5.2", code="token_answer_status"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_transport(stage: Stage, row: Row) -> None:
    """Whatever an endpoint does to us, the user is told, and soon, and loses nothing."""
    await row.prove(stage)
