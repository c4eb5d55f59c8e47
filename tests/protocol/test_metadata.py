"""Provider metadata: whose it is, where it points, what it may say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.metadata import (
    LARGEST_DOCUMENT,
    ProviderMetadata,
    check_issuer,
    check_url,
    discovery_request,
    is_loopback,
    read_metadata,
)
from clefstorm.transport.origin import read_url

ISSUER = "https://id.example/tenant"
ENDPOINTS = {
    "authorization_endpoint": "https://login.id.example/authorize?p=policy",
    "token_endpoint": "https://id.example:8443/token",
    "jwks_uri": "https://id.example/jwks",
    "userinfo_endpoint": "https://id.example/userinfo",
    "end_session_endpoint": "https://id.example/end",
    "revocation_endpoint": "https://id.example/revoke",
}
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    **ENDPOINTS,
    "id_token_signing_alg_values_supported": ["RS256", "EdDSA"],
    "token_endpoint_auth_methods_supported": ["client_secret_post"],
    "authorization_response_iss_parameter_supported": True,
    "response_types_supported": ["code"],
    "something_else": {"a": 1},
}


def read(document: Any, *, status: int = 200, issuer: str = ISSUER) -> ProviderMetadata:
    return read_metadata(
        Response(
            status=status,
            headers={"content-type": "application/json"},
            body=document if isinstance(document, bytes) else json.dumps(document).encode(),
        ),
        issuer=issuer,
    )


def test_whole_document() -> None:
    """The metadata is returned with a 200 as a JSON object (Discovery 1.0, section 4.2)."""
    metadata = read(DOCUMENT)
    assert {name: getattr(metadata, name) for name in ENDPOINTS} == ENDPOINTS
    assert metadata.issuer == ISSUER
    assert metadata.id_token_signing_alg_values_supported == ("RS256", "EdDSA")
    assert metadata.token_endpoint_auth_methods_supported == ("client_secret_post",)
    assert metadata.authorization_response_iss_parameter_supported is True
    assert metadata.document == DOCUMENT


def test_smallest_document() -> None:
    """What is optional may be left out; defaults are the specification's (Discovery, section 3;
    RFC 9207, section 3: the default of the iss parameter's support is false).
    """
    metadata = read(
        {
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/a",
            "token_endpoint": "https://id.example/t",
            "jwks_uri": None,
        }
    )
    assert metadata.jwks_uri is metadata.userinfo_endpoint is metadata.end_session_endpoint is None
    assert metadata.revocation_endpoint is None
    assert metadata.id_token_signing_alg_values_supported == ()
    assert metadata.token_endpoint_auth_methods_supported == ()
    assert metadata.authorization_response_iss_parameter_supported is False


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 401, 404, 500, 503])
def test_status(status: int) -> None:
    """A successful response uses the 200 OK status (Discovery 1.0, section 4.2)."""
    assert read(DOCUMENT).issuer == ISSUER
    with refusal(ProtocolViolation, "metadata_status"):
        read(DOCUMENT, status=status)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "json_invalid", id="empty"),
        pytest.param(b"<!doctype html>", "json_invalid", id="html"),
        pytest.param(b"[]", "json_not_object", id="array"),
        pytest.param(b"null", "json_not_object", id="null"),
        pytest.param(b'{"issuer": "a", "issuer": "b"}', "json_duplicate_name", id="name_twice"),
        pytest.param(b'{"issuer": NaN}', "json_invalid", id="nan"),
        pytest.param(b'\xef\xbb\xbf{"issuer": "a"}', "json_invalid", id="byte_order_mark"),
        pytest.param(b'{"issuer": "\xff"}', "json_invalid", id="not_utf_8"),
        pytest.param(b'{"a":' * 99 + b"1" + b"}" * 99, "json_too_deep", id="too_deep"),
    ],
)
def test_body(body: bytes, code: str) -> None:
    """The document is one strict JSON object (Discovery 1.0, section 4.2; DESIGN, section 8)."""
    assert read(json.dumps(DOCUMENT).encode()).issuer == ISSUER
    with refusal(ProtocolViolation, code):
        read(body)


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("https://evil.example", id="another"),
        pytest.param(ISSUER + "/", id="trailing_slash"),
        pytest.param("https://ID.example/tenant", id="other_case"),
        pytest.param("https://id.example:443/tenant", id="default_port"),
        pytest.param("https://id.example/other", id="other_tenant"),
        pytest.param("https://id.example/%74enant", id="encoded"),
        pytest.param("http://id.example/tenant", id="plain_http"),
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param([ISSUER], id="list"),
        pytest.param({"issuer": ISSUER}, id="object"),
        pytest.param(1, id="number"),
        pytest.param(True, id="boolean"),
    ],
)
def test_issuer_mismatch(issuer: object) -> None:
    """The issuer value returned MUST be identical to the Issuer URL that was used to retrieve the
    configuration (Discovery 1.0, section 4.3; RFC 8414, section 3.3).
    """
    assert read(DOCUMENT).issuer == ISSUER
    with refusal(ProtocolViolation, "metadata_issuer_mismatch") as caught:
        read({**DOCUMENT, "issuer": issuer})
    assert caught.value.evidence["expected"] == ISSUER


def test_issuer_missing() -> None:
    """issuer is REQUIRED (Discovery 1.0, section 3)."""
    with refusal(ProtocolViolation, "metadata_issuer_mismatch"):
        read({name: value for name, value in DOCUMENT.items() if name != "issuer"})


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize(
    "absent", [pytest.param(True, id="absent"), pytest.param(False, id="null")]
)
def test_endpoint_missing(name: str, absent: bool) -> None:
    """authorization_endpoint and token_endpoint are REQUIRED (Discovery 1.0, section 3)."""
    assert getattr(read(DOCUMENT), name) == ENDPOINTS[name]
    document: dict[str, Any] = {**DOCUMENT, name: None}
    if absent:
        del document[name]
    with refusal(ProtocolViolation, "metadata_missing") as caught:
        read(document)
    assert caught.value.evidence == {"name": name}


BAD_URLS = [
    pytest.param("http://id.example/x", "url_unsafe", id="plain_http"),
    pytest.param("ftp://id.example/x", "url_unsafe", id="ftp"),
    pytest.param("ftp://localhost/x", "url_unsafe", id="ftp_of_loopback"),
    pytest.param("wss://id.example/x", "url_unsafe", id="web_socket"),
    pytest.param("file:///etc/passwd", "url_invalid", id="file"),
    pytest.param("javascript:alert(1)", "url_invalid", id="javascript"),
    pytest.param("javascript://id.example/%0aalert(1)", "url_unsafe", id="javascript_with_host"),
    pytest.param("data:text/html,x", "url_invalid", id="data"),
    pytest.param("/x", "url_invalid", id="relative"),
    pytest.param("//id.example/x", "url_invalid", id="scheme_relative"),
    pytest.param("id.example/x", "url_invalid", id="no_scheme"),
    pytest.param("", "url_invalid", id="empty"),
    pytest.param("https:", "url_invalid", id="scheme_alone"),
    pytest.param("https:///x", "url_invalid", id="no_host"),
    pytest.param("https:id.example/x", "url_invalid", id="no_slashes"),
    pytest.param("https://:443/x", "url_invalid", id="port_without_host"),
    pytest.param("https://id.example:0/x", "url_invalid", id="port_zero"),
    pytest.param("https://id.example:65536/x", "url_invalid", id="port_too_large"),
    pytest.param("https://id.example:x/x", "url_invalid", id="port_no_number"),
    pytest.param("https://id.example:80:90/x", "url_invalid", id="two_ports"),
    pytest.param("https://user:pw@id.example/x", "url_invalid", id="user_info"),
    pytest.param("https://@id.example/x", "url_invalid", id="empty_user_info"),
    pytest.param("https://id.example@evil.example/x", "url_invalid", id="host_as_user_info"),
    pytest.param("https://id.example/x#y", "url_invalid", id="fragment"),
    pytest.param("https://id.example/x#", "url_invalid", id="empty_fragment"),
    pytest.param("https://id.example#", "url_invalid", id="empty_fragment_of_the_host"),
    pytest.param("https://evil.example\\@id.example/x", "url_invalid", id="back_slash"),
    pytest.param("https://id.example/x y", "url_invalid", id="space"),
    pytest.param(" https://id.example/x", "url_invalid", id="space_first"),
    pytest.param("https://id.example/x\r\ny", "url_invalid", id="newline"),
    pytest.param("https://id.exa\tmple/x", "url_invalid", id="tab"),
    pytest.param("https://id.example/x\x00", "url_invalid", id="nul"),
    pytest.param("https://id.example/é", "url_invalid", id="beyond_ascii"),
    pytest.param("https://ïd.example/x", "url_invalid", id="host_beyond_ascii"),
    pytest.param("https://id\u3002example/x", "url_invalid", id="host_with_another_dot"),
    pytest.param("https://%65vil.example/x", "url_invalid", id="host_percent_encoded"),
    pytest.param("https://<script>/x", "url_invalid", id="host_of_markup"),
    pytest.param("https://id.example,evil.example/x", "url_invalid", id="host_with_comma"),
    pytest.param("https://[::1/x", "url_invalid", id="bracket_open"),
    pytest.param("https://[::1]evil.example/x", "url_invalid", id="bracket_then_text"),
    pytest.param("https://[id.example]/x", "url_invalid", id="name_in_brackets"),
    pytest.param("https://[192.0.2.1]/x", "url_invalid", id="old_address_in_brackets"),
    pytest.param("https://[1:2:3]/x", "url_invalid", id="address_too_short"),
    pytest.param("https://[fe80::1%25eth0]/x", "url_invalid", id="address_with_zone"),
    pytest.param("https://" + "a" * 255 + "/x", "url_invalid", id="host_too_long"),
    pytest.param("HTTPS://id.example/x", "url_invalid", id="scheme_in_upper_case"),
]


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
@pytest.mark.parametrize(("url", "code"), BAD_URLS)
def test_endpoint_url(name: str, url: str, code: str) -> None:
    """Endpoint URLs MUST use the https scheme (Discovery 1.0, section 3; RFC 8414, section 2) and
    MUST NOT include a fragment (RFC 6749, sections 3.1 and 3.2); no other kind of URL is one.
    """
    assert getattr(read(DOCUMENT), name) == ENDPOINTS[name]
    with refusal(ProtocolViolation, code) as caught:
        read({**DOCUMENT, name: url})
    assert caught.value.evidence["name"] == name
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
@pytest.mark.parametrize("value", [7, True, ["https://id.example/x"], {}, 1.5])
def test_endpoint_type(name: str, value: object) -> None:
    """Endpoints are JSON strings (Discovery 1.0, section 3)."""
    assert getattr(read(DOCUMENT), name) == ENDPOINTS[name]
    with refusal(ProtocolViolation, "metadata_type"):
        read({**DOCUMENT, name: value})


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
@pytest.mark.parametrize("url", ["http://localhost/x", "http://127.0.0.1:9/x", "http://[::1]/x"])
def test_plain_http_under_https_issuer(name: str, url: str) -> None:
    """An https issuer's endpoints are https, on this machine too: a code, a secret or a token
    never leaves TLS because a document says so (Discovery 1.0, section 7.1; RFC 9700, 2.6).
    """
    loopback = "http://localhost:8000"
    plain = {**DOCUMENT, "issuer": loopback, name: url}
    assert getattr(read(plain, issuer=loopback), name) == url
    with refusal(ProtocolViolation, "url_unsafe") as caught:
        read({**DOCUMENT, name: url})
    assert caught.value.evidence["name"] == name


LISTS = ["id_token_signing_alg_values_supported", "token_endpoint_auth_methods_supported"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("RS256", id="string"),
        pytest.param(["RS256", 1], id="number_inside"),
        pytest.param([["RS256"]], id="list_inside"),
        pytest.param([None], id="null_inside"),
        pytest.param({"RS256": True}, id="object"),
        pytest.param(True, id="boolean"),
    ],
)
def test_list_type(name: str, value: object) -> None:
    """These members are JSON arrays of strings (Discovery 1.0, section 3)."""
    assert getattr(read({**DOCUMENT, name: ["RS256"]}), name) == ("RS256",)
    assert getattr(read({**DOCUMENT, name: None}), name) == ()
    with refusal(ProtocolViolation, "metadata_type"):
        read({**DOCUMENT, name: value})


@pytest.mark.parametrize("value", ["true", "false", 1, 0, [], {}, None])
@pytest.mark.parametrize(
    "name",
    [
        "authorization_response_iss_parameter_supported",
        "require_pushed_authorization_requests",
    ],
)
def test_switch_type(name: str, value: object) -> None:
    """A switch is a boolean (RFC 9207, section 3; RFC 9126, section 5): a word that might mean
    true is not taken for false.
    """
    assert getattr(read({**DOCUMENT, name: False}), name) is False
    assert getattr(read({**DOCUMENT, name: True}), name) is True
    with refusal(ProtocolViolation, "metadata_type"):
        read({**DOCUMENT, name: value})


def test_client_authentication_and_pushed_requests() -> None:
    """What is said about them is read (RFC 8414, section 2; RFC 9126, section 5)."""
    silent = read(DOCUMENT)
    assert silent.token_endpoint_auth_signing_alg_values_supported == ()
    assert silent.pushed_authorization_request_endpoint is None
    assert silent.require_pushed_authorization_requests is False
    said = read(
        {
            **DOCUMENT,
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "pushed_authorization_request_endpoint": "https://id.example/par",
        }
    )
    assert said.token_endpoint_auth_signing_alg_values_supported == ("ES256",)
    assert said.pushed_authorization_request_endpoint == "https://id.example/par"
    with refusal(ProtocolViolation, "url_unsafe"):
        read({**DOCUMENT, "pushed_authorization_request_endpoint": "http://id.example/par"})
    with refusal(ProtocolViolation, "metadata_type"):
        read({**DOCUMENT, "token_endpoint_auth_signing_alg_values_supported": "ES256"})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        (None, False),
        ("", False),
        ("localhost", True),
        ("id.localhost", True),
        ("notlocalhost", False),
        ("localhost.evil.example", False),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("127.1", False),
        ("2130706433", False),
        ("192.168.0.1", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_loopback(host: str | None, loopback: bool) -> None:
    """Plain http is for the loopback interface alone (RFC 8252, section 7.3; RFC 6761, 6.3)."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example",
        "https://id.example/",
        "https://ID.Example:8443/a/b?c=d&e=@:/",
        "https://id_1.x-y.example./a",
        "https://192.0.2.1/a",
        "https://[2001:DB8::1]:8443/a",
        "http://localhost:8000/a",
        "http://id.localhost/a",
        "http://127.0.0.1/a",
        "http://[::1]:1/a",
        "https://id.example?a=b",
        "https://id.example/a@b:c",
        "https://id.example:443",
    ],
)
def test_url_accepted(url: str) -> None:
    """What providers really have passes, and the transport can fetch it."""
    assert check_url(url, name="x") == url
    read_url(url)


@pytest.mark.parametrize("url", [None, b"https://id.example", 5, True, ["https://id.example"]])
def test_url_of_another_type(url: object) -> None:
    """What is no text is no URL, and no foreign exception."""
    with refusal(ProtocolViolation, "url_invalid"):
        check_url(url, name="x")


@pytest.mark.parametrize("url", ["https://user:pw@id.example/x", "https://id.example/x#y"])
def test_url_error_says_what_is_wrong(url: str) -> None:
    """Whoever reads the error learns what to leave out, without seeing a password."""
    with refusal(ProtocolViolation, "url_invalid") as caught:
        check_url(url, name="x")
    assert "user info or a fragment" in str(caught.value)
    assert "pw" not in str(caught.value)


@settings(max_examples=500, deadline=None, database=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "https://",
                "http://",
                "localhost",
                "a",
                "A",
                "-",
                ".",
                "_",
                "[",
                "]",
                "::1",
                "1",
                ":",
                "0",
                "80",
                "99999",
                "/",
                "?",
                "%41",
                "@",
                "é",
                "#",
                "\\",
                " ",
                "[::1]",
                "256.1.1.1",
            ]
        ),
        max_size=8,
    ).map("".join)
)
def test_what_passes_can_be_fetched(url: str) -> None:
    """A URL that is judged good is one that the transport takes, so that a provider's odd URL is
    never blamed on the application as a ConfigurationError at its first use.
    """
    try:
        check_url(url, name="x")
    except ProtocolViolation:
        return
    origin, _ = read_url(url)
    assert origin.scheme == "https" or is_loopback(origin.host)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://id.example",
        "https://id.example/",
        "https://id.example:8443/tenant/a",
        "http://localhost:8000",
        "http://127.0.0.1:8000/",
    ],
)
def test_issuer_accepted(issuer: str) -> None:
    """An Issuer Identifier is an https URL of scheme, host, optionally port and path (Core 1.0,
    section 2); plain http is for the loopback interface.
    """
    assert check_issuer(issuer) == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        *(pytest.param(*row.values[:1], id=row.id) for row in BAD_URLS),
        pytest.param("https://id.example?a=b", id="query"),
        pytest.param("https://id.example?", id="empty_query"),
        pytest.param("https://id.example/?", id="empty_query_of_a_path"),
        pytest.param(None, id="none"),
        pytest.param(b"https://id.example", id="bytes"),
        pytest.param(
            "https://id.example/.well-known/openid-configuration", id="discovery_document"
        ),
    ],
)
def test_issuer_refused(issuer: Any) -> None:
    """An Issuer Identifier has no query or fragment components (Core 1.0, section 2), and the
    mistake is the application's.
    """
    assert check_issuer(ISSUER) == ISSUER
    with refusal(ConfigurationError, "issuer_invalid") as caught:
        check_issuer(issuer)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://id.example", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/", "https://id.example/.well-known/openid-configuration"),
        ("https://id.example/a", "https://id.example/a/.well-known/openid-configuration"),
        ("https://id.example/a/", "https://id.example/a/.well-known/openid-configuration"),
        ("https://id.example/X", "https://id.example/X/.well-known/openid-configuration"),
    ],
)
def test_discovery_request(issuer: str, url: str) -> None:
    """The path is formed by concatenating /.well-known/openid-configuration to the Issuer, any
    terminating / removed first (Discovery 1.0, sections 4 and 4.1); the answer is bounded.
    """
    request = discovery_request(issuer)
    assert (request.method, request.url, request.body) == ("GET", url, None)
    assert request.headers == {"Accept": "application/json"}
    assert request.max_bytes == LARGEST_DOCUMENT


def test_repr_is_short() -> None:
    """The whole document is not in the repr: a log stays readable."""
    assert "something_else" not in repr(read(DOCUMENT))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, database=None)
@given(
    changes=st.dictionaries(
        st.sampled_from(sorted(DOCUMENT)),
        json_values
        | st.sampled_from([row.values[0] for row in BAD_URLS])
        | st.sampled_from(list(ENDPOINTS.values())),
        max_size=4,
    ),
    status=st.sampled_from([200, 200, 200, 302, 500]),
)
def test_only_errors_of_ours_for_documents(changes: dict[str, Any], status: int) -> None:
    """Whatever a provider says, only a ProtocolViolation comes out, and what passes is safe."""
    try:
        metadata = read({**DOCUMENT, **changes}, status=status)
    except ProtocolViolation:
        return
    assert metadata.issuer == ISSUER
    for name in ENDPOINTS:
        url = getattr(metadata, name)
        assert url is None or url.startswith("https://")


@settings(max_examples=300, deadline=None, database=None)
@given(
    body=st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace"))
)
def test_only_errors_of_ours_for_bytes(body: bytes) -> None:
    """Whatever bytes come, only a ProtocolViolation comes out."""
    with pytest.raises(ProtocolViolation):
        read(body)
