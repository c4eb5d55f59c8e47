"""Which cookies of a pod are kept, and to which of its pages they go back."""

from __future__ import annotations

import pytest
from providers.driving import NOW, clock

from clefstorm.protocol.pod_cookies import LARGEST_COOKIE, MOST_COOKIES, PodCookies

POD = "https://www.pod.example"


def sent(
    set_cookie: str, *, to: str = "/stream", by: str = "/users/sign_in", pod: str = POD
) -> str:
    """The Cookie header for a page, after another page has set this; '' for none."""
    cookies = PodCookies(pod, clock=clock)
    cookies.receive(pod + by, [set_cookie])
    return cookies.header(pod + to) or ""


@pytest.mark.parametrize(
    "set_cookie",
    [
        pytest.param("a=b; path=/", id="plain"),
        pytest.param(" a = b ;path=/;HttpOnly;SameSite=Strict", id="spaces"),
        pytest.param("a=b; PATH=/; SECURE", id="secure"),
        pytest.param("a=b; path=/; domain=www.pod.example", id="own_domain"),
        pytest.param("a=b; path=/; domain=.POD.example", id="domain_above"),
        pytest.param("a=b; path=/; domain=", id="empty_domain"),
        pytest.param("a=b; path=/; max-age=1", id="max_age"),
        pytest.param("a=b; path=/; max-age=soon", id="max_age_unreadable"),
        pytest.param("a=b; path=/; max-age=" + "9" * 5000, id="max_age_endless"),
        pytest.param("a=b; path=/; expires=Thu, 01 Jan 2037 00:00:00 GMT", id="expires"),
        pytest.param("a=b; path=/; expires=Thu, 01-Jan-2037 00:00:00 GMT", id="expires_dashes"),
        pytest.param("a=b; path=/; expires=Thu, 01 Jan 2037 00:00:00 -0000", id="expires_no_zone"),
        pytest.param("a=b; path=/; expires=whenever", id="expires_unreadable"),
        pytest.param("a=b; path=/; expires=Thu, 99 Jan 2037 99:99:99 GMT", id="expires_impossible"),
        pytest.param(
            "a=b; path=/; max-age=9; expires=Thu, 01 Jan 1970 00:00:00 GMT", id="max_age_first"
        ),
    ],
)
def test_kept(set_cookie: str) -> None:
    """A cookie of the pod's, however it is written, goes back to the pod."""
    assert sent(set_cookie) == "a=b"


@pytest.mark.parametrize(
    "set_cookie",
    [
        pytest.param("a=b; path=/; domain=evil.example", id="foreign_domain"),
        pytest.param("a=b; path=/; domain=m.www.pod.example", id="domain_below"),
        pytest.param("a=b; path=/; domain=w.pod.example", id="another_host"),
        pytest.param("a=b; path=/; domain=od.example", id="part_of_a_label"),
        pytest.param("=b; path=/", id="no_name"),
        pytest.param("", id="empty"),
        pytest.param("a; path=/", id="no_equals_sign"),
        pytest.param("a b=c; path=/", id="space_in_name"),
        pytest.param("a=b\x01c; path=/", id="control_character"),
        pytest.param("a=b\xe9; path=/", id="not_ascii"),
        pytest.param("a=b; path=/; max-age=0", id="over"),
        pytest.param("a=b; path=/; max-age=-1", id="long_over"),
        pytest.param("a=b; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT", id="expired"),
        pytest.param(f"a={'b' * LARGEST_COOKIE}; path=/", id="too_large"),
    ],
)
def test_dropped(set_cookie: str) -> None:
    """What a user agent has to ignore is dropped without a word."""
    assert sent("a=b; path=/") == "a=b"
    assert sent(set_cookie) == ""


def test_secure_needs_https() -> None:
    """A Secure cookie that came over http is dropped, on this machine too."""
    assert sent("a=b; path=/", pod="http://localhost:3000") == "a=b"
    assert sent("a=b; path=/; Secure", pod="http://localhost:3000") == ""


def test_the_largest_cookie() -> None:
    """Name and value may have 4096 characters together."""
    value = "b" * (LARGEST_COOKIE - 1)
    assert sent(f"a={value}; path=/") == f"a={value}"


def test_an_address_has_no_domain_above_it() -> None:
    """A pod at an IP address has no parent domain, though a text may end alike."""
    assert sent("a=b; path=/; domain=127.0.0.1", pod="http://127.0.0.1") == "a=b"
    assert sent("a=b; path=/; domain=0.0.1", pod="http://127.0.0.1") == ""


@pytest.mark.parametrize(
    ("path", "by", "to", "goes"),
    [
        pytest.param("; path=/a", "/", "/a", True, id="the_path"),
        pytest.param("; path=/a", "/", "/a/b", True, id="below"),
        pytest.param("; path=/a/", "/", "/a/b", True, id="below_a_slash"),
        pytest.param("; path=/a", "/", "/ab", False, id="longer_name"),
        pytest.param("; path=/a", "/", "/", False, id="above"),
        pytest.param("; path=/a/", "/", "/a", False, id="without_the_slash"),
        pytest.param("", "/users/sign_in", "/users/sign_out", True, id="folder_of_the_page"),
        pytest.param("", "/users/sign_in", "/stream", False, id="another_folder"),
        pytest.param("; path=relative", "/stream", "/users", True, id="not_a_path"),
    ],
)
def test_paths(path: str, by: str, to: str, goes: bool) -> None:
    """A cookie goes to its path and below, by default that of the page's folder."""
    assert sent(f"a=b{path}", by=by, to=to) == ("a=b" if goes else "")


def test_order() -> None:
    """The longest path stands first, then what has been there longest."""
    cookies = PodCookies(POD, clock=clock)
    cookies.receive(f"{POD}/", ["a=1; path=/", "b=2; path=/", "c=3; path=/users"])
    assert cookies.header(f"{POD}/users") == "c=3; a=1; b=2"


def test_set_again_and_taken_away() -> None:
    """The newest value counts; a cookie whose time is over takes the old one with it."""
    cookies = PodCookies(POD, clock=clock)
    cookies.receive(f"{POD}/", ["a=1; path=/", "a=2; path=/"])
    assert (cookies.header(f"{POD}/"), len(cookies)) == ("a=2", 1)
    cookies.receive(f"{POD}/", ["a=; path=/; max-age=0"])
    assert (cookies.header(f"{POD}/"), len(cookies)) == (None, 0)


def test_the_time_is_given() -> None:
    """A cookie is sent until the second of its end."""
    now = NOW
    cookies = PodCookies(POD, clock=lambda: now)
    cookies.receive(f"{POD}/", ["a=1; path=/; max-age=60"])
    now += 59
    assert cookies.header(f"{POD}/") == "a=1"
    now += 1
    assert cookies.header(f"{POD}/") is None


def test_how_many() -> None:
    """Beyond 50 the one that was set longest ago goes."""
    cookies = PodCookies(POD, clock=clock)
    cookies.receive(f"{POD}/", [f"n{number}=; path=/" for number in range(MOST_COOKIES)])
    cookies.receive(f"{POD}/", ["n0=again; path=/", "one_more=; path=/"])
    assert len(cookies) == MOST_COOKIES
    names = {pair.partition("=")[0] for pair in (cookies.header(f"{POD}/") or "").split("; ")}
    assert {"n0", "one_more"} < names
    assert "n1" not in names


def test_a_value_with_an_equals_sign() -> None:
    """The name ends at the first one (RFC 6265, section 5.2)."""
    cookies = PodCookies("https://pod.example", clock=lambda: 0.0)
    cookies.receive("https://pod.example/", ["a=b=c=="])
    assert cookies.header("https://pod.example/") == "a=b=c=="
    cookies.receive("https://pod.example/", ["a=d"])
    assert cookies.header("https://pod.example/") == "a=d"


def test_a_url_without_a_path() -> None:
    """It asks for / (RFC 9110, section 4.2.3), where cookies of / go and no others."""
    cookies = PodCookies("https://pod.example", clock=lambda: 0.0)
    cookies.receive("https://pod.example/", ["a=1; path=/", "b=2; path=/below"])
    assert cookies.header("https://pod.example") == "a=1"


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000", ""])
def test_the_end_of_a_cookie(zone: str) -> None:
    """Expires is in UTC (RFC 6265, section 5.1.1), in whatever zone the machine stands."""
    end = f"Thu, 01 Jan 1970 00:01:00 {zone}".strip()
    for now, kept in ((59.0, "a=1"), (60.0, None)):
        cookies = PodCookies("https://pod.example", clock=lambda now=now: now)
        cookies.receive("https://pod.example/", [f"a=1; expires={end}"])
        assert cookies.header("https://pod.example/") == kept


def test_the_end_in_another_zone() -> None:
    """A zone that is said counts."""
    cookies = PodCookies("https://pod.example", clock=lambda: 59.0)
    ends = "Thu, 01 Jan 1970 02:01:00 +0200"
    cookies.receive("https://pod.example/", [f"a=1; expires={ends}"])
    assert cookies.header("https://pod.example/") == "a=1"
    late = PodCookies("https://pod.example", clock=lambda: 61.0)
    late.receive("https://pod.example/", [f"a=1; expires={ends}"])
    assert late.header("https://pod.example/") is None
