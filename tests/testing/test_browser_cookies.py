"""Which cookies the test browser takes, keeps and sends."""

from __future__ import annotations

import pytest

from clefstorm.testing import Clock, CookieJar

HTTP = "http://app.example.com/a/b"
HTTPS = "https://app.example.com/a/b"
LOCAL = "http://localhost:8000/a/b"


@pytest.fixture
def jar(clock: Clock) -> CookieJar:
    return CookieJar(clock=clock)


@pytest.mark.parametrize(
    ("set_cookie", "url", "reason"),
    [
        pytest.param("no pair", HTTPS, "name", id="no_pair"),
        pytest.param("=value", HTTPS, "name", id="no_name"),
        pytest.param("a=1; Secure", HTTP, "http", id="secure_over_http"),
        pytest.param("a=1; Secure", LOCAL, "http", id="secure_on_localhost"),
        pytest.param("a=1; SameSite=None", HTTPS, "Secure", id="none_without_secure"),
        pytest.param("__Host-a=1; Secure; Path=/a", HTTPS, "Path=/", id="host_prefix_path"),
        pytest.param("__Host-a=1; Secure", HTTPS, "Path=/", id="host_prefix_no_path"),
        pytest.param(
            "__Host-a=1; Secure; Path=/; Domain=app.example.com",
            HTTPS,
            "no Domain",
            id="host_prefix_domain",
        ),
        pytest.param("__Host-a=1; Path=/", HTTPS, "prefix needs Secure", id="host_prefix_plain"),
        pytest.param("__Secure-a=1", HTTPS, "prefix needs Secure", id="secure_prefix_plain"),
        pytest.param("a=1; Domain=other.com", HTTPS, "Domain", id="foreign_domain"),
        pytest.param("a=1; Domain=x.app.example.com", HTTPS, "Domain", id="domain_below"),
        pytest.param("a=1; Domain=com", HTTPS, "Domain", id="top_level_domain"),
        pytest.param("a=1; Domain=xample.com", HTTPS, "Domain", id="half_a_label"),
        pytest.param("a=" + "x" * 4096, HTTPS, "4096", id="too_large"),
    ],
)
def test_refused(jar: CookieJar, set_cookie: str, url: str, reason: str) -> None:
    """What browsers drop without a word is dropped, and the reason kept (RFC 6265bis, 5.7)."""
    jar.receive(url, "good=1; Path=/")
    jar.receive(url, set_cookie)

    assert [cookie.name for cookie in jar] == ["good"]
    [refused] = jar.refused
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("set_cookie", "url"),
    [
        pytest.param("a=1; secure; httponly; samesite=none", HTTPS, id="any_case"),
        pytest.param("__Host-a=1; Secure; Path=/", HTTPS, id="host_prefix"),
        pytest.param("__Secure-a=1; Secure; Domain=example.com", HTTPS, id="secure_prefix"),
        pytest.param("a=1; Domain=.example.com", HTTPS, id="leading_dot"),
        pytest.param("a=1; Domain=localhost", LOCAL, id="domain_is_the_host"),
        pytest.param("a=" + "x" * 4095, HTTPS, id="largest"),
        pytest.param("a=1; Max-Age=soon; Expires=never", HTTPS, id="odd_times"),
    ],
)
def test_taken(jar: CookieJar, set_cookie: str, url: str) -> None:
    """What every browser takes is taken."""
    jar.receive(url, set_cookie)

    assert len(jar) == 1
    assert not jar.refused


@pytest.mark.parametrize(
    ("set_cookie", "url", "reached", "missed"),
    [
        pytest.param(
            "a=1",
            HTTPS,
            ["https://app.example.com/a/", "http://app.example.com:81/a/c?d", HTTPS],
            ["https://app.example.com/", "https://app.example.com/ab", "https://example.com/a/"],
            id="own_folder",
        ),
        pytest.param(
            "a=1; Path=/a",
            HTTPS,
            ["https://app.example.com/a", "https://app.example.com/a/b"],
            ["https://app.example.com/abc", "https://x.app.example.com/a"],
            id="path",
        ),
        pytest.param(
            "a=1; Path=relative",
            HTTPS,
            ["https://app.example.com/a/b"],
            ["https://app.example.com/"],
            id="path_that_is_none",
        ),
        pytest.param(
            "a=1; Path=/; Domain=example.com",
            HTTPS,
            ["https://example.com/", "https://other.example.com"],
            ["https://badexample.com/"],
            id="domain",
        ),
        pytest.param(
            "a=1; Path=/; Secure",
            HTTPS,
            ["https://app.example.com/"],
            ["http://app.example.com/"],
            id="secure",
        ),
        pytest.param(
            "a=1; Path=/",
            LOCAL,
            ["http://localhost:9000/"],
            ["http://127.0.0.1:8000/"],
            id="ports_share",
        ),
    ],
)
def test_reach(
    jar: CookieJar, set_cookie: str, url: str, reached: list[str], missed: list[str]
) -> None:
    """A cookie goes to its domain and path, on every port (RFC 6265bis, 5.1 and 5.8.3)."""
    jar.receive(url, set_cookie)

    for other in reached:
        assert jar.header(other) == "a=1", other
    for other in missed:
        assert jar.header(other) is None, other


@pytest.mark.parametrize(
    ("attribute", "sent"),
    [
        pytest.param("SameSite=Strict", (True, True, False, False), id="strict"),
        pytest.param("SameSite=Lax", (True, True, True, False), id="lax"),
        pytest.param("SameSite=None; Secure", (True, True, True, True), id="none"),
        pytest.param("SameSite=Odd", (True, True, True, False), id="odd_is_lax"),
        pytest.param("HttpOnly", (True, True, True, False), id="silent_is_lax"),
    ],
)
def test_same_site(jar: CookieJar, attribute: str, sent: tuple[bool, ...]) -> None:
    """SameSite decides what goes along from another site (RFC 6265bis, 5.8.3)."""
    jar.receive(HTTPS, f"a=1; {attribute}")
    cases = [(True, True), (True, False), (False, True), (False, False)]

    assert (
        tuple(
            jar.header(HTTPS, same_site=same_site, safe_navigation=safe) is not None
            for same_site, safe in cases
        )
        == sent
    )
    jar.clear()
    jar.receive(HTTPS, f"a=1; {attribute}", same_site=False)
    assert len(jar) == sent[-1]


def test_time(jar: CookieJar, clock: Clock) -> None:
    """Max-Age wins over Expires; what is over is gone, and a past time removes (5.7)."""
    clock.now = 1_000_000_000.0
    jar.receive(HTTPS, "short=1; Max-Age=10; Expires=Sat, 01 Jan 2050 00:00:00 GMT")
    jar.receive(HTTPS, "dated=1; Expires=Sun, 09 Sep 2001 01:46:50 GMT")
    jar.receive(HTTPS, "session=1")
    clock.advance(9.5)
    assert len(jar) == 3
    clock.advance(0.5)
    assert [cookie.name for cookie in jar] == ["session"]
    jar.receive(HTTPS, "session=; Max-Age=0")
    assert jar.header(HTTPS) is None


def test_order_and_replacement(jar: CookieJar) -> None:
    """Longer paths come first; the same name, domain and path is one cookie (5.8.3)."""
    jar.receive(HTTPS, "a=root; Path=/")
    jar.receive(HTTPS, "b=folder")
    jar.receive(HTTPS, "a=folder")
    jar.receive(HTTPS, "b=again")
    jar.receive(HTTPS, 'q="x=y"; Path=/')

    assert jar.header(HTTPS) == 'a=folder; b=again; a=root; q="x=y"'
    assert jar.get("a") == "root"
    assert jar.get("a", HTTPS) == "root"
    assert jar.get("b", "https://app.example.com/") is None
    jar.discard("a")
    assert jar.get("a") is None
    assert len(jar) == 2
