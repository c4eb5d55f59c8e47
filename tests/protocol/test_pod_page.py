"""The token in a page: found however the page is written, and taken from nowhere else."""

from __future__ import annotations

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.pod_page import LONGEST_HEAD, read_token


def page(body: str | bytes, content_type: str = "text/html") -> Response:
    raw = body.encode() if isinstance(body, str) else body
    return Response(status=200, headers={"content-type": content_type}, body=raw)


META = '<meta name="csrf-token" content="abc==">'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(META, id="name_first"),
        pytest.param('<meta content="abc==" name="csrf-token" />', id="content_first"),
        pytest.param("<meta name='csrf-token' content='abc=='>", id="single_quotes"),
        pytest.param("<meta name=csrf-token content=abc==>", id="no_quotes"),
        pytest.param("<META NAME=CSRF-Token CONTENT=abc==>", id="capitals"),
        pytest.param('<meta\n data-x="1"\n content="abc&#61;="\n name="csrf-token">', id="entity"),
        pytest.param("<meta name=csrf-param content=x>" + META, id="behind_another"),
        pytest.param("<meta><meta name><meta name=csrf-token-2 content=y>" + META, id="odd_ones"),
        pytest.param(META + '<meta name="csrf-token" content="second">', id="the_first_counts"),
        pytest.param(META + "<![", id="garbage_after_it"),
        pytest.param(b"\xff\xfe" + META.encode() + b"\xff", id="not_utf_8"),
        pytest.param("<script>'<meta name=csrf-token content=x>'</script>" + META, id="script"),
        pytest.param("<!-- <meta name=csrf-token content=x> -->" + META, id="comment"),
    ],
)
def test_found(body: str | bytes) -> None:
    """The token of the first such element, whatever its spelling."""
    assert read_token(page(body)) == "abc=="


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="empty"),
        pytest.param("<html><head></head></html>", id="no_element"),
        pytest.param("<p name=csrf-token content=x>", id="another_element"),
        pytest.param("<!-- <meta name=csrf-token content=x> -->", id="comment"),
        pytest.param("<script>'<meta name=csrf-token content=x>'</script>", id="script"),
        pytest.param("&lt;meta name=csrf-token content=x>", id="text"),
        pytest.param('<meta name="csrf-token" content="x', id="cut_off"),
        pytest.param("<![<![" + META, id="markup_that_the_parser_asserts_away"),
        pytest.param(" " * LONGEST_HEAD + META, id="too_far_down"),
    ],
)
def test_missing(body: str) -> None:
    """A page without the element has no token."""
    assert read_token(page(META)) == "abc=="
    with refusal(ProtocolViolation, "pod_token_missing"):
        read_token(page(body))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("a b", id="space"),
        pytest.param("a&#13;&#10;Host: b", id="newline"),
        pytest.param("ä", id="not_ascii"),
        pytest.param("a" * 1025, id="too_long"),
    ],
)
def test_invalid(content: str) -> None:
    """A token that no header can carry is refused, and not quoted."""
    assert read_token(page(f'<meta name="csrf-token" content="{"a" * 1024}">')) == "a" * 1024
    with refusal(ProtocolViolation, "pod_token_invalid") as caught:
        read_token(page(f'<meta name="csrf-token" content="{content}">'))
    assert not caught.value.evidence


def test_no_content() -> None:
    """An element without content is as good as an empty one."""
    with refusal(ProtocolViolation, "pod_token_invalid"):
        read_token(page('<meta name="csrf-token">'))


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("application/json", id="json"),
        pytest.param("text/plain; text/html", id="plain"),
        pytest.param("", id="none"),
    ],
)
def test_not_html(content_type: str) -> None:
    """What says that it is no page is not read as one."""
    assert read_token(page(META, "Text/HTML; charset=utf-8")) == "abc=="
    assert read_token(page(META, "application/xhtml+xml")) == "abc=="
    with refusal(ProtocolViolation, "pod_page_not_html"):
        read_token(page(META, content_type))
