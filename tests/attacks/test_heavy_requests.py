"""Attacks by weight: floods, huge cookies, headers, bodies and tokens, readers that never read."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

import pytest
from attacks.site import Site, refused_with, until
from conformance.stage import FORM, said, shown_code
from joserfc import jwe
from joserfc.jwk import RSAKey

from clefstorm.handlers import handler
from clefstorm.jwe import DecryptionKey, generate_decryption_key
from clefstorm.testing import Browser, TokenDraft


@pytest.fixture
def setting() -> str:
    """What stands in front has bounds of its own; here ours are seen."""
    return "memory"


# -- cookies, headers, addresses -------------------------------------------------------------------


async def raw(site: Site, text: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; the status (0 for a cut connection) and all that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    try:
        writer.write(text)
        async with asyncio.timeout(20):
            answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


def request(path: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: app", "Connection: close", *lines, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        pytest.param(["Cookie: a=" + "x" * 60_000], {200}, id="large_cookie_of_others"),
        pytest.param(["Cookie: {session}" + "x" * 60_000], {200}, id="large_session_cookie"),
        pytest.param(["Cookie: " + "{session}x; " * 1000], {200}, id="session_a_thousand_times"),
        pytest.param(["Cookie: " + "a=b; " * 12_000], {200}, id="many_cookies"),
        pytest.param(["Cookie: {session}x"] * 500, {200}, id="many_cookie_lines"),
        pytest.param(["Cookie: " + ";" * 60_000], {200}, id="semicolons"),
        pytest.param(["Cookie: a=" + "x" * 70_000], {0, 400}, id="more_than_all_headers_may_be"),
        pytest.param(["X-A: b"] * 9000, {0, 400}, id="many_headers"),
        pytest.param(["Accept: " + "text/html," * 6000], {200}, id="long_accept"),
        pytest.param(["Sec-Fetch-Site: " + "x" * 60_000], {403}, id="long_fetch_site"),
        pytest.param(["Origin: " + "x" * 60_000], {403}, id="long_origin"),
        pytest.param(["If-None-Match: " + '"a",' * 12_000], {200}, id="many_tags"),
    ],
)
async def test_heavy_headers(
    site: Site, alice: Browser, lines: list[str], statuses: set[int]
) -> None:
    """Headers of any weight make nobody somebody, and break nothing for those who come after."""
    session = f"{site.rp.cookies.session}={site.session_cookie}"
    status, answer = await raw(site, request("/auth/me", f"Cookie: {session}"))
    assert (status, site.sub().encode() in answer) == (200, True)
    async with site.nothing_changes():
        sent = [line.replace("{session}", session) for line in lines]
        status, answer = await raw(site, request("/auth/me", *sent))
        assert status in statuses
        assert b"Set-Cookie" not in answer
        assert site.sub().encode() not in answer


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/auth/callback?state=" + "x" * 50_000, id="state"),
        pytest.param("/auth/callback?state=" + "." * 50_000, id="dots"),
        pytest.param("/auth/callback?state={state}&code=" + "x" * 50_000, id="code"),
        pytest.param("/auth/callback?" + "a=1&" * 900, id="parameters"),
        pytest.param("/auth/login?next=/" + "x" * 50_000, id="next"),
        pytest.param("/auth/login?next=/" + "%2525" * 10_000, id="percent"),
        pytest.param("/auth/login?provider=" + "x" * 50_000, id="provider"),
        pytest.param("/auth/login?max_age=" + "9" * 50_000, id="max_age"),
        pytest.param("/auth/login?acr_values=" + "a+" * 25_000, id="acr_values"),
        pytest.param("/auth/logged-out?state=" + "x" * 50_000, id="logout_state"),
        pytest.param("/auth/frontchannel-logout?iss=x&sid=" + "x" * 50_000, id="sid"),
    ],
)
async def test_heavy_addresses(site: Site, alice: Browser, path: str) -> None:
    """An address of any length is refused as a short one is, without a trace."""
    state = (await site.to_the_callback()).partition("state=")[2].partition("&")[0]
    own = "{state}" in path
    async with site.nothing_changes(writes=1 if own else 0):
        page = await alice.get(site.site + path.replace("{state}", state), follow=False)
        if path.startswith("/auth/logged-out"):
            assert (page.status, page.headers["Location"]) == (303, "/")
        else:
            refused_with(page, 400)
        assert len(page.body) < 20_000
    assert (await site.open_callback(await site.to_the_callback())).status == 303


# -- bodies ----------------------------------------------------------------------------------------

FORM_PAGES = ["logout", "callback", "backchannel-logout", "clef-logout"]


@pytest.mark.parametrize("page", FORM_PAGES)
@pytest.mark.parametrize("megabytes", [1, 10])
async def test_heavy_bodies(site: Site, alice: Browser, page: str, megabytes: int) -> None:
    """Megabytes are refused with a word, and not kept; what they say at their beginning is void."""
    token = await site.provider.logout_token("app", sub=site.sub())
    body = f"logout_token={token}&a=".ljust(megabytes * 1_000_000, "x")
    async with site.nothing_changes():
        answer = await site.send(page, body, cookies=True)
        refused_with(answer, 413)
    assert (await site.send("backchannel-logout", f"logout_token={token}")).status == 200


@pytest.mark.parametrize("page", FORM_PAGES)
async def test_endless_body(
    site: Site, alice: Browser, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that has no end is cut."""
    monkeypatch.setattr(handler, "LARGEST_DISCARDED", 4 * handler.LARGEST_BODY)
    part = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    async with site.nothing_changes():
        lines = (f"Content-Type: {FORM}", "Transfer-Encoding: chunked")
        head = request(f"/auth/{page}", *lines, method="POST")
        status, _ = await raw(site, head + part * 12)
        assert status in (0, 413)


@pytest.mark.parametrize("page", FORM_PAGES)
async def test_dripping_body(
    site: Site, alice: Browser, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that does not come is cut after its time, and nobody waits behind it."""
    monkeypatch.setattr(handler, "BODY_SECONDS", 0.05)
    async with site.nothing_changes():
        lines = (f"Content-Type: {FORM}", "Content-Length: 100")
        head = request(f"/auth/{page}", *lines, method="POST", body=b"logout_tok")
        assert await raw(site, head) == (0, b"")


async def test_body_that_inflates(site: Site, alice: Browser) -> None:
    """A compressed form is not unpacked: it is no form."""
    token = await site.provider.logout_token("app", sub=site.sub())
    body = zlib.compress(f"logout_token={token}&a=".encode() + b"x" * 40_000_000)
    for coding in ("gzip", "deflate"):
        async with site.nothing_changes():
            lines = (
                f"Content-Type: {FORM}",
                f"Content-Encoding: {coding}",
                f"Content-Length: {len(body)}",
            )
            head = request("/auth/backchannel-logout", *lines, method="POST", body=body)
            assert (await raw(site, head))[0] == 400


# -- a flood of started logins ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "most"), [pytest.param(1, 6, id="short"), pytest.param(1400, 4, id="long")]
)
async def test_flood_of_logins_in_one_browser(
    site: Site, alice: Browser, length: int, most: int
) -> None:
    """A browser that begins a hundred logins keeps a few; the store hears of none, and the
    newest one is finished."""
    assert (await site.open_callback(await site.to_the_callback())).status == 303
    written, recorded = list(site.written), len(site.events("login_started"))
    for _ in range(100):
        start = await alice.get(site.login_url(next="/" + "x" * length), follow=False)
        assert start.status == 303
        assert len(site.held(alice, site.rp.cookies.login)) <= most
        assert len(site.cookie_header()) < 8000  # many servers take no more, for all headers
    assert site.written == written
    assert len(site.events("login_started")) == recorded + 100
    assert await site.user() == site.sub()
    assert (await site.open_callback(await site.to_the_callback())).status == 303


async def test_flood_of_logins_of_strangers(site: Site, alice: Browser) -> None:
    """A hundred strangers who begin a login cost the store and the bus nothing."""
    assert (await site.sign_in()).text == "here"
    strangers = [site.new_browser() for _ in range(100)]
    async with site.nothing_changes():
        for stranger in strangers:
            assert (await stranger.get(site.login_url(), follow=False)).status == 303
    assert (await site.sign_in("bob", browser=strangers[0])).text == "here"


async def test_flood_of_refused_callbacks(site: Site, alice: Browser) -> None:
    """A thousand wrong answers use no state up and write nothing."""
    url = await site.to_the_callback()
    stranger = site.new_browser()
    async with site.nothing_changes(stranger):
        for place in range(200):
            page = await stranger.get(url.replace("code=", f"code={place}"), follow=False)
            assert page.status == 400
    assert (await site.open_callback(url)).status == 303


# -- readers that never read -----------------------------------------------------------------------


async def test_event_stream_that_is_never_read(site: Site, alice: Browser) -> None:
    """Streams whose readers read nothing hold a registration each, and no one up: a logout
    reaches the others at once, and afterwards nothing is left."""
    lines = (f"Cookie: {site.cookie_header()}", "Accept: text/event-stream")
    slow = [await asyncio.open_connection("127.0.0.1", site.port, limit=1) for _ in range(20)]
    for _, writer in slow:
        writer.write(request("/auth/events", *lines).replace(b"Connection: close\r\n", b""))
    async with alice.stream(f"{site.site}/auth/events") as events:
        assert (await events.next()).event == "hello"
        await until(lambda: site.rp.bus.statistics().subscribers == 21)
        assert (await site.sign_out()).text == "here"
        assert (await events.next(10)).json() == {"reason": "logout"}
    await until(lambda: site.rp.bus.statistics().subscribers == 0)
    assert site.tabs.by_session() == {}
    for _, writer in slow:
        writer.close()


async def frames_until(socket: Any, kind: str) -> AsyncIterator[dict[str, Any]]:
    """What comes, up to the first frame of this type."""
    while True:
        text = await socket.read_message()
        assert isinstance(text, str), (socket.close_code, socket.close_reason)
        frame = json.loads(text)
        yield frame
        if frame["type"] == kind:
            return


async def test_subscriber_that_never_acknowledges(site: Site, alice: Browser) -> None:
    """A subscriber of the bus that takes nothing is cut off; what is held for it is bounded, and
    who reads loses nothing."""
    before = site.rp.bus.statistics()
    async with site.news(alice) as slow:
        with site.rp.bus.subscribe(["news"]) as reader:
            for place in range(1500):
                await site.rp.bus.publish("news", f"{place} {'x' * 10_000}")
                assert (await reader.next(10)).message.startswith(f"{place} ")
                await asyncio.sleep(0)
        assert site.rp.bus.statistics().cut_off == before.cut_off + 1
        slow.write_message('{"type": "ping", "n": 2}')
        held = [frame async for frame in frames_until(slow, "reply")]
        assert 50 < len(held) < 250
        assert sum(len(frame.get("message", "")) for frame in held) < 2_000_000
        slow.write_message(json.dumps({"type": "ack", "n": held[-1]["n"]}))
        late = [frame async for frame in frames_until(slow, "end")]
        assert late[-1]["code"] == "slow_subscriber"
    await until(lambda: site.rp.bus.statistics().subscribers == 0)
    async with site.news(alice) as fresh:
        await site.rp.bus.publish("news", "all is well")
        assert [frame async for frame in frames_until(fresh, "event")]
    await until(lambda: site.rp.bus.statistics().subscribers == 0)


# -- tokens ----------------------------------------------------------------------------------------


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def deep(kind: str) -> bytes:
    depth = 7000
    return {
        "lists": b'{"a":' + b"[" * depth + b"]" * depth + b"}",
        "objects": b'{"a":' * depth + b"1" + b"}" * depth,
        "open": b'{"a":' + b"[" * depth,
    }[kind]


@cache
def inflating() -> str:
    """A JWE that is small on the wire and would be large inside."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    inside = squeezed.compress(b" " * 20_000_000) + squeezed.flush()
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "zip": "DEF", "cty": "JWT"}
    return ".".join([part(header), "AAAA", "AAAA", part(inside[:30_000]), "AAAA"])


RS256 = {"alg": "RS256", "kid": "k"}
TOKENS: dict[str, Callable[[], str]] = {
    "dots": lambda: "." * 40_000,
    "three_parts_and_dots": lambda: "a.b.c" + "." * 40_000,
    "empty_parts": lambda: "..",
    "one_part": lambda: "a" * 40_000,
    "deep_lists": lambda: ".".join([part(RS256), part(deep("lists")), "AAAA"]),
    "deep_objects": lambda: ".".join([part(RS256), part(deep("objects")[:30_000]), "AAAA"]),
    "deep_and_open": lambda: ".".join([part(RS256), part(deep("open")), "AAAA"]),
    "deep_header": lambda: ".".join([part(deep("lists")), part({}), "AAAA"]),
    "many_members": lambda: ".".join([part(RS256), part({str(n): n for n in range(2500)}), "AAAA"]),
    "huge_number": lambda: ".".join([part(RS256), part(b'{"exp":' + b"9" * 20_000 + b"}"), "A"]),
    "huge_exponent": lambda: ".".join([part(RS256), part(b'{"exp":1e999999999}'), "AAAA"]),
    "huge_signature": lambda: ".".join([part(RS256), part({"iss": "x"}), "A" * 40_000]),
    "inflating_jwe": inflating,
    "five_empty_parts": lambda: "....",
    "jwe_of_dots": lambda: part({"alg": "dir", "enc": "A256GCM"}) + "." * 20_000,
}
tokens = pytest.mark.parametrize("make", TOKENS.values(), ids=TOKENS)
encrypted = pytest.mark.parametrize("encrypts", [False, True], ids=["signed", "encrypted"])


@cache
def our_key() -> DecryptionKey:
    """A key takes a while to make."""
    return generate_decryption_key("RSA-OAEP-256", kid="ours")


def with_a_decryption_key(site: Site) -> None:
    """Configure the alias with a key, so that encrypted tokens are looked into."""
    site.configure(
        decryption_key=our_key(),
        id_token_encrypted_response_alg="RSA-OAEP-256",
        id_token_encrypted_response_enc="A256GCM",
    )


@encrypted
@tokens
async def test_heavy_logout_tokens(
    site: Site, alice: Browser, make: Callable[[], str], encrypts: bool
) -> None:
    """A logout token of any weight or shape is refused as such, and nobody is signed out."""
    good = await site.provider.logout_token("app", sub=site.sub())
    if encrypts:
        with_a_decryption_key(site)
    async with site.nothing_changes():
        answer = await site.post_logout_token(make())
        refused_with(answer, 400)
        assert len(answer.body) < 2000
    site.configure()
    assert (await site.post_logout_token(good)).status == 200
    assert await site.user() is None


def bomb(**more: str) -> str:
    """A JWE of a kilobyte, encrypted to us well, that is twenty megabytes inside."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "cty": "JWT", **more}
    key = RSAKey.import_key(our_key().to_jwk())
    registry = jwe.JWERegistry(algorithms=["RSA-OAEP-256", "A256GCM", "DEF"])
    inside = b"." * (20_000_000 if more else 20_000)
    return jwe.encrypt_compact(header, inside, key, registry=registry)


async def test_inflating_jwe(site: Site, alice: Browser) -> None:
    """What is encrypted well and compressed is refused before it is opened, as either token."""
    with_a_decryption_key(site)
    plain, zipped = bomb(), bomb(zip="DEF")
    assert len(zipped) < len(plain) < 64_000
    async with site.nothing_changes():
        opened = await site.post_logout_token(plain)
        assert (opened.status, opened.json()["code"]) == (400, "jwe_not_nested")
        refused = await site.post_logout_token(zipped)
        refused_with(refused, 400)
        assert refused.json()["code"] == "jwe_zip_refused"
    site.provider.tamper["token"] = lambda told: told.update(id_token=zipped)
    url = await site.to_the_callback()
    async with site.nothing_changes(writes=1):
        page = await site.open_callback(url)
        refused_with(page, 502)
        assert shown_code(page) == "jwe_zip_refused"


async def test_logout_token_of_megabytes(site: Site, alice: Browser) -> None:
    """One of megabytes is not read at all."""
    async with site.nothing_changes():
        refused_with(await site.post_logout_token("a" * 3_000_000), 413)


@encrypted
@tokens
async def test_heavy_id_tokens(
    site: Site, alice: Browser, make: Callable[[], str], encrypts: bool
) -> None:
    """The same in the answer of the token endpoint: 502, no session, and the old one lives."""
    if encrypts:
        with_a_decryption_key(site)
    site.provider.tamper["token"] = lambda told: told.update(id_token=make())
    url = await site.to_the_callback()
    async with site.nothing_changes(writes=1):
        page = await site.open_callback(url)
        refused_with(page, 502)
        assert len(page.body) < 20_000
    site.provider.behave()
    site.configure()
    assert (await site.sign_in()).text == "here"


@pytest.mark.parametrize(
    ("member", "code"),
    [
        pytest.param("id_token", "answer_too_large", id="id_token"),
        pytest.param("access_token", "answer_too_large", id="access_token"),
        pytest.param("anything", "answer_too_large", id="another_member"),
    ],
)
async def test_token_answer_of_megabytes(
    site: Site, alice: Browser, member: str, code: str
) -> None:
    """An answer of megabytes is not read to its end."""
    site.provider.tamper["token"] = lambda told: told.update({member: "a" * 3_000_000})
    url = await site.to_the_callback()
    async with site.nothing_changes(writes=1):
        page = await site.open_callback(url)
        refused_with(page, 502)
        assert shown_code(page) == code, said(page)


@pytest.mark.parametrize("kind", ["lists", "objects"])
async def test_deep_claims_that_are_well_signed(site: Site, alice: Browser, kind: str) -> None:
    """A provider's own good signature makes a deep token no better."""

    def deepen(draft: TokenDraft) -> None:
        draft.payload = deep(kind)

    site.provider.tamper["id_token"] = deepen
    url = await site.to_the_callback()
    async with site.nothing_changes(writes=1):
        page = await site.open_callback(url)
        refused_with(page, 502)
    site.provider.behave()
    assert (await site.sign_in()).text == "here"
