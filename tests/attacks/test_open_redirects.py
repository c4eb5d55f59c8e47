"""Open redirects and split answers, in every spelling, wherever a path to return to is taken.

A row is what stands in the URL; what follows is a path of this site, as it must be written for
whoever reads it by the URL standard, or a refusal.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

import pytest
from attacks.site import Site, parameters_of, refused_with
from conformance.stage import shown_code

from clefstorm.testing import Browser, Page

REFUSED = None

# One slash, then neither slash nor back slash; nothing raw that a browser drops or rewrites.
LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")

SPELLINGS: dict[str, tuple[str, str | None]] = {
    # -- slashes
    "two_slashes": ("//evil.example", REFUSED),
    "three_slashes": ("///evil.example", REFUSED),
    "many_slashes": ("/////////evil.example/a", REFUSED),
    "two_slashes_encoded": ("%2f%2fevil.example", REFUSED),
    "slash_and_encoded": ("/%2Fevil.example", REFUSED),
    "encoded_twice": ("%252f%252fevil.example", REFUSED),
    "slash_and_encoded_twice": ("/%252fevil.example", REFUSED),
    "slash_and_encoded_three_times": ("/%25252fevil.example", REFUSED),
    "fullwidth_slashes": ("%EF%BC%8F%EF%BC%8Fevil.example", REFUSED),
    "slash_and_fullwidth": ("/%EF%BC%8Fevil.example", "/%EF%BC%8Fevil.example"),
    "fraction_slash": ("/%E2%81%84evil.example", "/%E2%81%84evil.example"),
    "division_slash": ("/%E2%88%95evil.example", "/%E2%88%95evil.example"),
    "overlong_utf8": ("/%c0%afevil.example", "parameters_malformed"),
    # -- back slashes
    "back_slash": ("/%5Cevil.example", REFUSED),
    "two_back_slashes": ("%5C%5Cevil.example", REFUSED),
    "back_slash_and_slash": ("%5C/evil.example", REFUSED),
    "back_slash_encoded_twice": ("/%255cevil.example", REFUSED),
    "back_slash_later": ("/a%5C..%5C..%5C%5Cevil.example", REFUSED),
    "fullwidth_back_slash": ("/%EF%BC%BCevil.example", "/%EF%BC%BCevil.example"),
    # -- control characters and white space
    "tab": ("/%09/evil.example", REFUSED),
    "newline": ("/%0A/evil.example", REFUSED),
    "return": ("/%0D/evil.example", REFUSED),
    "tab_and_back_slash": ("/%09%5Cevil.example", REFUSED),
    "tab_before": ("%09//evil.example", REFUSED),
    "space_before": ("+//evil.example", REFUSED),
    "spaces_between": ("/+/evil.example", "/%20/evil.example"),
    "null": ("/%00/evil.example", REFUSED),
    "delete": ("/%7f/evil.example", REFUSED),
    "next_line": ("/%C2%85/evil.example", REFUSED),
    "line_separator": ("/%E2%80%A8/evil.example", "/%E2%80%A8/evil.example"),
    "right_to_left": ("/%E2%80%AEelpmaxe.live//", "/%E2%80%AEelpmaxe.live//"),
    "tab_encoded_twice": ("/%2509/evil.example", REFUSED),
    "no_break_space": ("%C2%A0//evil.example", REFUSED),
    # -- schemes
    "https": ("https://evil.example", REFUSED),
    "https_upper": ("HTTPS://evil.example", REFUSED),
    "https_without_slashes": ("https:evil.example", REFUSED),
    "https_one_slash": ("https:/evil.example", REFUSED),
    "https_back_slashes": ("https:%5C%5Cevil.example", REFUSED),
    "other_scheme": ("ftp://evil.example", REFUSED),
    "own_scheme_only": ("http:/here", REFUSED),
    "javascript": ("javascript:alert(1)", REFUSED),
    "javascript_with_newline": ("java%0Ascript:alert(1)", REFUSED),
    "javascript_slashes": ("javascript://%250Aalert(1)", REFUSED),
    "data": ("data:text/html,%3Cscript%3Ealert(1)%3C/script%3E", REFUSED),
    "vbscript": ("vbscript:msgbox(1)", REFUSED),
    "blob": ("blob:https://evil.example/1", REFUSED),
    "file": ("file:///etc/passwd", REFUSED),
    # -- userinfo, hosts, ports
    "userinfo": ("//site.example@evil.example", REFUSED),
    "https_userinfo": ("https://127.0.0.1@evil.example", REFUSED),
    "userinfo_of_back_slash": ("https://evil.example%5C@127.0.0.1", REFUSED),
    "at": ("@evil.example", REFUSED),
    "slash_at": ("/@evil.example", "/@evil.example"),
    "bare_host": ("evil.example", REFUSED),
    "host_and_port": ("evil.example:80/", REFUSED),
    "dot_host": (".evil.example", REFUSED),
    "ipv6": ("//[::1]/", REFUSED),
    "own_host": ("//127.0.0.1/here", REFUSED),
    # -- dot segments
    "dot": ("/.//evil.example", REFUSED),
    "two_dots": ("/..//evil.example", REFUSED),
    "dots_encoded": ("/%252e%252e//evil.example", REFUSED),
    "into_and_out": ("/here/..//evil.example", REFUSED),
    "dot_and_back_slash": ("/.%5C%5Cevil.example", REFUSED),
    "up_without_slash": ("../evil.example", REFUSED),
    # -- queries and fragments
    "query_only": ("?next=//evil.example", REFUSED),
    "fragment_only": ("%23//evil.example", REFUSED),
    "url_in_query": ("/here?u=https://evil.example", "/here?u=https://evil.example"),
    "url_in_fragment": ("/here%23//evil.example", "/here#//evil.example"),
    "back_slash_in_query": ("/here?u=%5C%5Cevil", "/here?u=%5C%5Cevil"),
    "semicolon": ("/;//evil.example", "/;//evil.example"),
    # -- answers split in two
    "split": ("/here%0d%0aSet-Cookie:+a=b", REFUSED),
    "split_by_newline": ("/here%0aLocation:+//evil.example", REFUSED),
    "split_in_the_query": ("/here?a=%0d%0aX-Evil:+1", REFUSED),
    "split_in_the_fragment": ("/here%23%0d%0aX-Evil:+1", REFUSED),
    "split_encoded_twice": ("/here%250d%250aX-Evil:+1", REFUSED),
    "split_encoded_in_the_query": ("/here?a=%250d%250aX:+1", "/here?a=%0d%0aX:%201"),
    "split_by_wide_letters": ("/%E5%98%8D%E5%98%8AX:1", "/%E5%98%8D%E5%98%8AX:1"),
    # -- long ones
    "too_long": ("/" + "a" * 1600, REFUSED),
    "too_long_and_leaving": ("//evil.example/" + "a" * 60_000, REFUSED),
    "too_long_when_encoded": ("/" + "%C3%A9" * 400, REFUSED),
}

ROWS = [pytest.param(*row, id=name) for name, row in SPELLINGS.items()]


@pytest.fixture
def setting() -> str:
    """What is judged is the text alone."""
    return "memory"


def is_refused(page: Page, path: str | None) -> bool:
    """Whether the row asks for a refusal, which is then looked at."""
    if path is not None and path.startswith("/"):
        return False
    refused_with(page, 400)
    assert shown_code(page) == (path or "return_path_refused")
    return True


def looked_at(page: Page, path: str) -> None:
    """The last redirect leads to this path of ours, and the answer is one answer."""
    location = page.headers["Location"]
    assert location == path
    assert LOCAL.fullmatch(location)
    assert not {"a=b", "X-Evil", "X"} & set(page.headers)
    assert not any(line.startswith("a=") for line in page.headers.get_list("Set-Cookie"))


@pytest.mark.parametrize(("spelled", "path"), ROWS)
async def test_next_of_the_login(
    site: Site, alice: Browser, spelled: str, path: str | None
) -> None:
    """After a login a browser is on this site."""
    start = await alice.get(f"{site.site}/auth/login?next={spelled}", follow=False)
    if is_refused(start, path):
        assert not site.held(alice, site.rp.cookies.login)
        return
    assert path is not None
    answer = await alice.get(start.headers["Location"], initiator=site.site, follow=False)
    looked_at(await site.open_callback(answer.headers["Location"]), path)


@pytest.mark.parametrize(("spelled", "path"), ROWS)
async def test_next_of_the_logout(
    site: Site, alice: Browser, spelled: str, path: str | None
) -> None:
    """After a logout too, over the provider and back; a refused one signs nobody out."""
    question = await alice.get(f"{site.site}/auth/logout")
    try:
        value = unquote_plus(spelled, errors="strict")
    except UnicodeDecodeError:
        value = "//evil.example"  # a form's text always is some text
        path = REFUSED
    form = {**question.forms[0].fields, "next": value}
    page = await alice.post(f"{site.site}/auth/logout", form, initiator=question, follow=False)
    if is_refused(page, path) if len(value) < 20_000 else page.status in (400, 413):
        assert await site.user() == site.sub()
        return
    assert path is not None
    assert page.headers["Location"].startswith(f"{site.provider.issuer}/end_session?")
    back = await alice.get(page.headers["Location"], initiator=site.site)
    looked_at(back.history[-1], path)
    assert await site.user() is None


@pytest.mark.parametrize(("spelled", "path"), ROWS)
async def test_next_of_the_logout_page(
    site: Site, alice: Browser, spelled: str, path: str | None
) -> None:
    """The page that asks links to no other site, and its form takes none along."""
    page = await alice.get(f"{site.site}/auth/logout?next={spelled}", follow=False)
    if is_refused(page, path):
        return
    assert path is not None
    assert page.status == 200
    assert page.forms[0].fields["next"] == path
    [link] = re.findall(r'<a href="([^"]*)"', page.text)
    assert LOCAL.fullmatch(link.replace("&amp;", "&").replace("&#x27;", "'"))


# -- the state of a logout at the provider, and its cookie -----------------------------------------


async def at_the_door(site: Site, browser: Browser, path: str) -> tuple[str, str]:
    """Sign out up to the return from the provider; the state, and the cookie's value."""
    question = await browser.get(f"{site.site}/auth/logout?next={path}")
    page = await browser.submit(question, follow=False)
    state = parameters_of(page.headers["Location"])["state"]
    return state, site.held(browser, site.rp.cookies.logout)[site.rp.cookies.logout]


@pytest.mark.parametrize("forged", ["made_up", "cut", "other_state", "tossed", "absent", "session"])
async def test_cookie_of_the_logout_state(
    site: Site, alice: Browser, mallory: Browser, forged: str
) -> None:
    """What the cookie does not say for this very state, nobody can make it say: home it is."""
    name = site.rp.cookies.logout
    state, value = await at_the_door(site, alice, "/here?twin")
    back = f"{site.site}/auth/logged-out?state="
    twin = await alice.get(back + state, follow=False)
    assert (twin.status, twin.headers["Location"]) == (303, "/here?twin")
    await site.sign_in()
    state, value = await at_the_door(site, alice, "/here?good")
    _, theirs = await at_the_door(site, mallory, "/here?theirs")
    await site.sign_in()
    sent = {
        "made_up": f"{name}={'A' * 120}",
        "cut": f"{name}={value[:-2]}",
        "other_state": f"{name}={theirs}",
        "tossed": f"{name}={value}; {name}={theirs}",
        "absent": "a=b",
        "session": f"{name}={site.session_cookie}",
    }[forged]
    async with site.nothing_changes(mallory):
        page = await site.send(
            "logged-out", "", query=f"?state={state}", method="GET", headers={"Cookie": sent}
        )
        assert (page.status, page.headers["Location"]) == (303, "/")
