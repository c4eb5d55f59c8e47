"""Return paths: only a path of this site may follow a login or a logout."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import RequestRefused
from clefstorm.protocol import return_path
from clefstorm.protocol.return_path import LONGEST_PATH, local_path

SITE = "https://site.example"


def browser_goes_to(reference: str) -> str:
    """The origin that a browser ends at from a page of SITE, modelled on the URL standard.

    The states "scheme start" to "host" of the WHATWG URL standard, section 4.4, as far as they
    decide on the origin. Written from the standard, and apart from the code under test.
    """
    text = reference.strip("".join(map(chr, range(0x21))))
    text = re.sub("[\t\n\r]", "", text)
    scheme, rest = "https", text
    if found := re.match(r"([A-Za-z][A-Za-z0-9+.\-]*):", text):
        scheme, rest = found[1].lower(), text[found.end() :]
        if scheme not in ("http", "https", "ws", "wss", "ftp", "file"):
            return f"{scheme}:"
    # A special scheme other than the page's needs no slashes; a back slash is one.
    absolute = scheme != "https" or re.match(r"[/\\]{2}", rest) is not None
    if not absolute:
        return SITE
    authority = re.split(r"[/\\?#]", rest.lstrip("/\\"), maxsplit=1)[0]
    return f"{scheme}://{authority.rpartition('@')[2].lower()}"


def without_dot_segments(path: str) -> str:
    """RFC 3986, section 5.2.4, on the path of a reference."""
    path, tail = re.fullmatch(r"([^?#]*)(.*)", path, re.DOTALL).groups()  # type: ignore[union-attr]
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept) + tail


@pytest.mark.parametrize(
    ("reference", "goes_to"),
    [
        ("/a/b?c#d", SITE),
        ("a", SITE),
        ("?a", SITE),
        ("", SITE),
        ("https:a", SITE),
        ("https:/a", SITE),
        ("//evil.example/a", "https://evil.example"),
        ("///evil.example", "https://evil.example"),
        ("/\\evil.example", "https://evil.example"),
        ("\\\\evil.example", "https://evil.example"),
        ("/\t/evil.example", "https://evil.example"),
        (" \n//evil.example", "https://evil.example"),
        ("https:\\\\evil.example", "https://evil.example"),
        ("https:\\a", SITE),
        ("http:evil.example", "http://evil.example"),
        ("https://site.example@evil.example", "https://evil.example"),
        ("https://evil.example\\@site.example", "https://evil.example"),
        ("javascript:alert(1)", "javascript:"),
        ("DATA:text/html,x", "data:"),
    ],
)
def test_the_model_of_a_browser(reference: str, goes_to: str) -> None:
    """The judge of the tests below knows what the URL standard says (section 4.4)."""
    assert browser_goes_to(reference) == goes_to


@pytest.mark.parametrize(
    ("value", "path"),
    [
        pytest.param(None, "/", id="none"),
        pytest.param("", "/", id="empty"),
        pytest.param("/", "/", id="root"),
        pytest.param("/a/b/", "/a/b/", id="path"),
        pytest.param("/a?b=c&d=%20+e#f", "/a?b=c&d=%20+e#f", id="query_and_fragment"),
        pytest.param(
            "/?next=https://evil.example//x", "/?next=https://evil.example//x", id="url_in_query"
        ),
        pytest.param("/#//evil.example", "/#//evil.example", id="url_in_fragment"),
        pytest.param("/a?text=line%0Aline%5C", "/a?text=line%0Aline%5C", id="newline_in_query"),
        pytest.param("/a?b=x\\y", "/a?b=x%5Cy", id="raw_back_slash_in_query"),
        pytest.param("/a?b=x y", "/a?b=x%20y", id="raw_space_in_query"),
        pytest.param("/a?b=../../x", "/a?b=../../x", id="dots_in_query"),
        pytest.param("/my%20file.pdf", "/my%20file.pdf", id="space_in_path"),
        pytest.param("/my file.pdf", "/my%20file.pdf", id="raw_space_in_path"),
        pytest.param("/caf%C3%A9", "/caf%C3%A9", id="encoded_beyond_ascii"),
        pytest.param("/café", "/caf%C3%A9", id="beyond_ascii"),
        pytest.param("/a%C2%A0b", "/a%C2%A0b", id="no_break_space"),
        pytest.param("/100%", "/100%", id="lone_percent"),
        pytest.param("/.well-known/x", "/.well-known/x", id="dot_file"),
        pytest.param("/a...b/..c/c../d.", "/a...b/..c/c../d.", id="dots_in_names"),
        pytest.param("/a//b", "/a//b", id="double_slash_inside"),
        pytest.param("/https://evil.example", "/https://evil.example", id="url_as_path"),
        pytest.param("/@evil.example:80", "/@evil.example:80", id="at_and_colon"),
        pytest.param("/what%3Fis=this", "/what%3Fis=this", id="encoded_question_mark"),
        pytest.param("/\uff0f/evil.example", "/%EF%BC%8F/evil.example", id="fullwidth_solidus"),
        pytest.param("/<script>\"'", "/%3Cscript%3E%22'", id="markup_is_encoded"),
        pytest.param("/" + "a" * (LONGEST_PATH - 1), "/" + "a" * (LONGEST_PATH - 1), id="longest"),
    ],
)
def test_accepts_paths_of_this_site(value: str | None, path: str) -> None:
    """A user comes back to the very page that they wanted (DESIGN, section 8)."""
    assert local_path(value) == path
    assert browser_goes_to(path) == SITE


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a", id="relative"),
        pytest.param("./a", id="relative_dot"),
        pytest.param("?a=b", id="query_alone"),
        pytest.param("#a", id="fragment_alone"),
        pytest.param("https://evil.example/", id="absolute"),
        pytest.param("HTTPS://evil.example/", id="absolute_upper_case"),
        pytest.param("https:evil.example", id="scheme_without_slashes"),
        pytest.param("https:/evil.example", id="scheme_with_one_slash"),
        pytest.param("https://site.example/", id="absolute_of_this_site"),
        pytest.param("javascript:alert(1)", id="javascript"),
        pytest.param("data:text/html,x", id="data"),
        pytest.param("site.example:80", id="looks_like_a_scheme"),
        pytest.param("//evil.example", id="scheme_relative"),
        pytest.param("///evil.example", id="three_slashes"),
        pytest.param("////evil.example", id="four_slashes"),
        pytest.param("//user@evil.example", id="user_info"),
        pytest.param("//evil.example@site.example", id="user_info_of_this_site"),
        pytest.param("/\\evil.example", id="slash_back_slash"),
        pytest.param("\\/evil.example", id="back_slash_slash"),
        pytest.param("\\\\evil.example", id="two_back_slashes"),
        pytest.param("\\evil.example", id="one_back_slash"),
        pytest.param("/a\\b", id="back_slash_inside"),
        pytest.param("/\t/evil.example", id="tab"),
        pytest.param("/\n/evil.example", id="newline"),
        pytest.param("/\r/evil.example", id="carriage_return"),
        pytest.param("\t//evil.example", id="tab_first"),
        pytest.param(" //evil.example", id="space_first"),
        pytest.param("\x00//evil.example", id="nul_first"),
        pytest.param("\x1f//evil.example", id="control_first"),
        pytest.param("\u3000//evil.example", id="ideographic_space_first"),
        pytest.param("/a\r\nSet-Cookie: x=y", id="header_injection_in_path"),
        pytest.param("/a?\r\nSet-Cookie: x=y", id="header_injection_in_query"),
        pytest.param("/a#\x00", id="nul_in_fragment"),
        pytest.param("/a\x7f", id="delete"),
        pytest.param("/a\x85b", id="next_line"),
        pytest.param("/%2f%2fevil.example", id="encoded_slashes"),
        pytest.param("/%2fevil.example", id="encoded_slash"),
        pytest.param("%2f%2fevil.example", id="encoded_from_the_start"),
        pytest.param("/%5cevil.example", id="encoded_back_slash"),
        pytest.param("/%5C%5Cevil.example", id="encoded_back_slashes"),
        pytest.param("/%09/evil.example", id="encoded_tab"),
        pytest.param("/%0d%0aSet-Cookie:x", id="encoded_header_injection"),
        pytest.param("/%00", id="encoded_nul"),
        pytest.param("/%252fevil.example", id="twice_encoded_slash"),
        pytest.param("/%255cevil.example", id="twice_encoded_back_slash"),
        pytest.param("/%2509/evil.example", id="twice_encoded_tab"),
        pytest.param("/.//evil.example", id="dot_segment"),
        pytest.param("/a/..//evil.example", id="dot_dot_segment"),
        pytest.param("/%2e//evil.example", id="encoded_dot"),
        pytest.param("/a/%2e%2e//evil.example", id="encoded_dot_dot"),
        pytest.param("/a/.%2E//evil.example", id="half_encoded_dot_dot"),
        pytest.param("/a/%252e%252e//evil.example", id="twice_encoded_dot_dot"),
        pytest.param("/a%3f/%2e%2e//evil.example", id="encoded_dots_behind_encoded_question_mark"),
        pytest.param("/a%23/%2e%2e//evil.example", id="encoded_dots_behind_encoded_hash"),
        pytest.param("/..", id="dot_dot_at_the_end"),
        pytest.param("/a/.", id="dot_at_the_end"),
        pytest.param("/a/..?b", id="dot_dot_before_query"),
        pytest.param("/\ud800", id="half_surrogate"),
        pytest.param("/" + "a" * LONGEST_PATH, id="too_long"),
        pytest.param("/" + "é" * (LONGEST_PATH // 6 + 1), id="too_long_once_encoded"),
        pytest.param("/?" + "a" * LONGEST_PATH, id="query_too_long"),
    ],
)
def test_refuses_what_leaves_the_site(value: str) -> None:
    """Clients must not expose URLs that forward the browser to arbitrary URIs taken from a
    parameter (RFC 9700, section 4.11.1); and a pending login must fit into a cookie.
    """
    assert local_path("/a") == "/a"
    with refusal(RequestRefused, "return_path_refused"):
        local_path(value)


def test_error_shows_no_query() -> None:
    """Evidence holds no secret (DESIGN, law 4), and a query may hold one."""
    with refusal(RequestRefused, "return_path_refused") as caught:
        local_path("//evil.example/a?ticket=s3cret#s3cret")
    assert caught.value.evidence["got"] == "//evil.example/a"


def test_what_is_too_long_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes are refused before anything is done with them (DESIGN, law 8)."""
    worked: list[str] = []
    monkeypatch.setattr(return_path, "unquote", lambda text: worked.append(text) or text)
    assert local_path("/a") == "/a"
    assert worked
    worked.clear()
    with refusal(RequestRefused, "return_path_refused"):
        local_path("/" + "a" * 10_000_000)
    assert worked == []


# What changes the meaning of a URL, and pieces that hide it.
PIECES = [
    "/", "\\", "?", "#", "@", ":", ".", "..", "%", "a", "evil.example", "https:", "javascript:",
    "\t", "\n", "\r", " ", "\x00", "\x7f", "\xa0", "é", "\ufeff", "\u2028", "\ud800", "%2f", "%2F",
    "%5c", "%2e", "%3f", "%23", "%25", "%0a", "%09", "%00", "%c3%a9", "%ff", ";", "[", "]", "~",
]  # fmt: skip

hostile = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "/" + "".join(pieces)),
    st.text(max_size=40).map(lambda text: "/" + text),
    st.text(max_size=40),
)


@settings(max_examples=1000, deadline=None, database=None)
@given(hostile)
@example("/a%3f/%2e%2e//evil.example")
@example("/%2525252fevil")
def test_never_leaves_the_site(value: str) -> None:
    """Whatever is accepted stays on the site: in a browser, after somebody on the way has
    percent-decoded it once or twice, and after somebody has removed its dot segments.
    """
    try:
        path = local_path(value)
    except RequestRefused:
        return
    assert re.fullmatch(r"[\x21-\x7e]+", path)
    assert len(path) <= LONGEST_PATH
    assert local_path(path) == path
    assert browser_goes_to(path) == SITE
    bare = re.split("[?#]", path, maxsplit=1)[0]
    for decoded in (path, bare, unquote(bare), unquote(unquote(bare))):
        assert browser_goes_to(decoded) == SITE
        assert browser_goes_to(without_dot_segments(decoded)) == SITE
