"""Reading and writing our own cookies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tornado.httputil import HTTPHeaders

from clefstorm.handlers.cookies import LONGEST_VALUE, read_cookie, read_cookies

NAME = "__Host-clefstorm"


def headers(*lines: str) -> HTTPHeaders:
    made = HTTPHeaders()
    for line in lines:
        made.add("Cookie", line)
    return made


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([f"{NAME}=abc"], "abc", id="alone"),
        pytest.param([f"a=1; {NAME}=abc; b=2"], "abc", id="among_others"),
        pytest.param([f"a=1;{NAME}=abc;b=2"], "abc", id="without_spaces"),
        pytest.param(["a=1", f"{NAME}=abc"], "abc", id="in_a_second_line"),
        pytest.param([f"{NAME}=abc; {NAME}=abc"], "abc", id="twice_the_same"),
        pytest.param([f"{NAME}={'a' * LONGEST_VALUE}"], "a" * LONGEST_VALUE, id="longest"),
        pytest.param(["x=" + "y" * 60_000 + f"; {NAME}=abc"], "abc", id="behind_a_huge_one"),
        pytest.param([], None, id="no_cookies"),
        pytest.param(["a=1"], None, id="only_others"),
        pytest.param([f"{NAME}=abc; {NAME}=xyz"], None, id="tossed"),
        pytest.param([f"{NAME}=abc", f"{NAME}=xyz"], None, id="tossed_in_a_second_line"),
        pytest.param([f"{NAME}=abc; {NAME}="], None, id="tossed_empty"),
        pytest.param([f"{NAME}={'a' * (LONGEST_VALUE + 1)}"], None, id="oversized"),
        pytest.param([f"{NAME}="], None, id="empty"),
        pytest.param([NAME], None, id="no_value"),
        pytest.param([f'{NAME}="abc"'], None, id="quoted"),
        pytest.param([f"{NAME}=a b"], None, id="space_inside"),
        pytest.param([f"{NAME}=a\tb"], None, id="tab_inside"),
        pytest.param([f"{NAME}=ä"], None, id="not_ascii"),
        pytest.param([f"x{NAME}=abc"], None, id="longer_name_before"),
        pytest.param([f"{NAME}-login-1=abc"], None, id="longer_name_after"),
        pytest.param([f"a={NAME}=abc"], None, id="name_in_a_value"),
    ],
)
def test_read_cookie(lines: list[str], expected: str | None) -> None:
    """A cookie of ours counts when it is there once and well-formed."""
    assert read_cookie(headers(*lines), NAME) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("p-1=a; p-2=b; q=c", {"p-1": "a", "p-2": "b"}, id="all_of_the_prefix"),
        pytest.param("p-1=a; p-2=b; p-1=c", {"p-2": "b"}, id="without_the_tossed"),
        pytest.param("p-1=a; p-2=b; p-1=c; p-1=a", {"p-2": "b"}, id="tossed_three_times"),
        pytest.param('p-1="a"; p-2=b', {"p-2": "b"}, id="without_the_malformed"),
        pytest.param('p-1=a; p-1="b"; p-2=b', {"p-2": "b"}, id="tossed_malformed"),
        pytest.param("xp-1=a", {}, id="prefix_inside"),
    ],
)
def test_read_cookies(line: str, expected: dict[str, str]) -> None:
    """All cookies of a prefix are found; a doubled one hides itself and no other."""
    assert read_cookies(headers(line), "p-") == expected


@given(st.from_regex(r"[\t\x20-\x7e\x80-\xff]*", fullmatch=True))
def test_no_cookie_header_raises(line: str) -> None:
    """Whatever Tornado lets through in a Cookie header, reading it gives a value or None."""
    for sent in (headers(f"x{line}x"), headers(f"x{line}; {NAME}=abc")):
        value = read_cookie(sent, NAME)
        assert value is None or value.isascii()
        assert all(name.startswith(NAME) for name in read_cookies(sent, NAME))
