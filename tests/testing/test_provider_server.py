"""The embedded provider as a server: address, documents, keys, file, faults, log."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from stand_in import SECRET, StandIn, basic, error_of, heading
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse

from clefstorm.errors import ConfigurationError, DeadlineExceeded
from clefstorm.keys import generate_key
from clefstorm.testing import Account, Answer, Browser, Clock, Provider, TokenDraft


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


IPV4 = ((socket.AF_INET, "127.0.0.1"),)
IPV6 = ((socket.AF_INET6, "::1"),) if _has_ipv6() else ()


async def get(http: AsyncHTTPClient, url: str, **headers: str) -> HTTPResponse:
    return await http.fetch(url, headers=headers, raise_error=False)


async def test_discovery_is_true(
    http_client: AsyncHTTPClient, provider: Provider, browser: Browser, stand_in: StandIn
) -> None:
    """What the document names exists, and what it says is supported is (Discovery 1.0, 3)."""
    url = f"{provider.issuer}/.well-known/openid-configuration"
    response = await get(http_client, url)
    document = json.loads(response.body)

    assert response.headers["Content-Type"].startswith("application/json")
    assert document["issuer"] == provider.issuer
    for name, value in document.items():
        if name.endswith(("_endpoint", "jwks_uri")):
            assert (await get(http_client, value)).code != 404, name
    for alg in document["id_token_signing_alg_values_supported"]:
        stand_in.register("app", id_token_signed_response_alg=alg)
    for mode in document["response_modes_supported"]:
        await browser.sign_in(provider, "alice", stand_in.authorization(response_mode=mode))
        assert "code" in stand_in.answers.pop()
    scope = " ".join(document["scopes_supported"])
    assert (await stand_in.tokens(browser, scope=scope))["scope"] == scope
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "192.0.2.1", "example.com", "::", "localhost.evil", ""]
)
async def test_loopback_only(host: str) -> None:
    """Anything but loopback is refused unless the switch says so, dangerous by name."""
    for good in ("localhost", "127.0.0.1", "127.0.0.2", "::1"):
        Provider(host=good)
    with pytest.raises(ConfigurationError) as refused:
        Provider(host=host)
    assert refused.value.code == "not_loopback"


async def test_the_switch(http_client: AsyncHTTPClient) -> None:
    """dangerous_listen_anywhere lifts the rule."""
    async with Provider(host="0.0.0.0", dangerous_listen_anywhere=True) as provider:
        assert (await get(http_client, f"{provider.issuer}/jwks")).code == 200


async def test_both_families_of_localhost(http_client: AsyncHTTPClient, provider: Provider) -> None:
    """localhost is 127.0.0.1 and ::1 on one port, and neither is another interface."""
    assert provider.issuer == f"http://localhost:{provider.port}"
    for _family, address in (*IPV4, *IPV6):
        host = f"[{address}]" if ":" in address else address
        assert (await get(http_client, f"http://{host}:{provider.port}/jwks")).code == 200
    assert (await get(http_client, f"{provider.issuer}/jwks")).code == 200


@pytest.mark.skipif(not IPV6, reason="this machine has no IPv6 loopback")
async def test_an_address_of_its_own(http_client: AsyncHTTPClient) -> None:
    """host ::1 makes an issuer with brackets."""
    async with Provider(host="::1") as provider:
        assert provider.issuer == f"http://[::1]:{provider.port}"
        assert (await get(http_client, f"{provider.issuer}/jwks")).code == 200


async def test_port_in_use() -> None:
    """A port that somebody else has is an OSError, on either family."""
    for family, address in (*IPV4, *IPV6):
        with (
            socket.create_server((address, 0), family=family) as taken,
            pytest.raises(OSError, match="in use"),
        ):
            await Provider(port=taken.getsockname()[1]).start()


async def test_no_issuer_before_the_start() -> None:
    """Before it listens the provider has no address, unless it was given the port."""
    with pytest.raises(ConfigurationError) as refused:
        _ = Provider().issuer
    assert refused.value.code == "provider_not_started"
    assert Provider(port=9).issuer == "http://localhost:9"


async def test_stop_and_start(http_client: AsyncHTTPClient) -> None:
    """A stopped provider is gone; started again it has the same address."""
    provider = await Provider().start()
    issuer = provider.issuer
    await provider.stop()
    with pytest.raises(OSError, match="refused"):
        await get(http_client, f"{issuer}/jwks")
    await provider.start()
    assert provider.issuer == issuer
    assert (await get(http_client, f"{issuer}/jwks")).code == 200
    await provider.stop()
    await provider.stop()


async def test_foreign_host_names(http_client: AsyncHTTPClient, provider: Provider) -> None:
    """A page that rebinds its own name to loopback gets nothing."""
    url = f"{provider.issuer}/admin"
    assert (await get(http_client, url)).code == 200
    for host in ("evil.example", f"evil.example:{provider.port}", "localhost.evil.example", "["):
        assert (await get(http_client, url, Host=host)).code in (400, 421)


async def test_pages_can_not_be_framed_or_kept(
    http_client: AsyncHTTPClient, provider: Provider
) -> None:
    """Every page says no-store, nosniff, and who may frame it: nobody."""
    for path in ("/admin", "/authorize", "/nowhere"):
        headers = (await get(http_client, f"{provider.issuer}{path}")).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]


async def test_rotation(browser: Browser, stand_in: StandIn, provider: Provider) -> None:
    """New tokens come from the new key; the old key stays until it is forgotten (Core 10.1.1)."""
    stand_in.register("app", id_token_signed_response_alg="ES256")
    old = (await stand_in.tokens(browser))["id_token"]
    provider.rotate_keys()
    new = (await stand_in.tokens(browser))["id_token"]
    kids = [jwt.get_unverified_header(token)["kid"] for token in (old, new)]
    assert kids[0] != kids[1]
    await stand_in.claims(old)
    await stand_in.claims(new)

    provider.rotate_keys(forget=True)
    with pytest.raises(KeyError):
        await stand_in.claims(old)
    await stand_in.claims((await stand_in.tokens(browser))["id_token"])


async def test_given_keys(tmp_path: Path, http_client: AsyncHTTPClient) -> None:
    """signing_keys are used instead of new ones, until a folder has kept others."""
    first, second = (generate_key("RS256", kid=kid) for kid in ("first", "second"))

    async def kids(**options: Any) -> list[str]:
        async with Provider(**options) as provider:
            body = (await get(http_client, f"{provider.issuer}/jwks")).body
            return [key["kid"] for key in json.loads(body)["keys"]]

    assert await kids(signing_keys=[first]) == ["first"]
    assert await kids(signing_keys=[first], path=tmp_path) == ["first"]
    assert await kids(signing_keys=[second], path=tmp_path) == ["first"]
    [made] = await kids()
    assert made.startswith("RS256-")
    assert await kids() != [made]


async def test_jwks_is_public(http_client: AsyncHTTPClient, provider: Provider) -> None:
    """The JWKS holds no private member (RFC 7518, 6.2.2 and 6.3.2)."""
    provider.add_client("ec", "s", id_token_signed_response_alg="ES256")
    provider.rotate_keys()
    keys = json.loads((await get(http_client, f"{provider.issuer}/jwks")).body)["keys"]

    assert len(keys) >= 2
    for key in keys:
        assert not set(key) & {"d", "p", "q", "dp", "dq", "qi", "k"}
        assert {"kty", "kid", "alg", "use"} <= set(key)


@pytest.mark.parametrize(
    ("registration", "code"),
    [
        pytest.param({"redirect_uris": "http://a/"}, "client_uris_not_list", id="one_text"),
        pytest.param({"redirect_uris": ["/callback"]}, "client_uri_invalid", id="no_host"),
        pytest.param({"redirect_uris": ["http://a/#b"]}, "client_uri_invalid", id="fragment"),
        pytest.param({"redirect_uris": ["app:callback"]}, "client_uri_invalid", id="scheme"),
        pytest.param({"backchannel_logout_uri": "gone"}, "client_uri_invalid", id="back_channel"),
        pytest.param(
            {"token_endpoint_auth_method": "tls"}, "client_auth_method_unknown", id="method"
        ),
        pytest.param(
            {"token_endpoint_auth_method": "none"}, "client_secret_and_method", id="none_and_secret"
        ),
        pytest.param(
            {"client_secret": None, "token_endpoint_auth_method": "client_secret_post"},
            "client_secret_and_method",
            id="post_without_secret",
        ),
        pytest.param({"id_token_signed_response_alg": "none"}, "client_alg_unknown", id="alg"),
        pytest.param(
            {"id_token_signed_response_alg": "HS256", "client_secret": None},
            "client_alg_no_secret",
            id="hmac_without_secret",
        ),
    ],
)
async def test_refused_registrations(registration: dict[str, Any], code: str) -> None:
    """A client that could not work is refused when it is registered."""
    provider = Provider()
    provider.add_client("app", "secret", ["http://127.0.0.1/callback"])
    with pytest.raises(ConfigurationError) as refused:
        provider.add_client("app", **{"client_secret": "secret", **registration})
    assert refused.value.code == code


async def test_secrets_are_in_no_repr(provider: Provider) -> None:
    """Printing a client, an account or a request shows no secret."""
    client = provider.add_client("app", "the-secret", ["http://127.0.0.1/callback"])
    account = Account(username="zoe", password="the-secret")

    assert "app" in repr(client)
    assert "the-secret" not in repr(client) + repr(account)


async def test_kept_in_a_folder(
    tmp_path: Path, new_browser: Callable[[], Browser], http_client: AsyncHTTPClient
) -> None:
    """With a folder, keys, sessions and refresh tokens survive a restart; the file is private."""
    browser, folder = new_browser(), tmp_path / "new" / "provider"
    first = await Provider(path=folder).start()
    stand_in = StandIn(http_client, first)
    await stand_in.start()
    tokens = await stand_in.tokens(browser, scope="openid offline_access")
    await first.stop()
    [file] = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
    kept = file.read_text()
    assert tokens["refresh_token"] not in kept
    assert all(cookie.value not in kept for cookie in browser.cookies)

    async with Provider(path=folder, port=first.port) as second:
        stand_in.provider = second
        stand_in.register("app")
        await stand_in.claims(tokens["id_token"])
        assert (await stand_in.userinfo(tokens["access_token"])).code == 200
        assert (await stand_in.refresh(tokens["refresh_token"])).code == 200
        assert error_of(await stand_in.refresh(tokens["refresh_token"])) == "invalid_grant"
        page = await browser.get(stand_in.authorization(prompt="none"))
        assert page.url.startswith(stand_in.callback)
        assert "code" in stand_in.answers[-1]
        assert len(await second.sign_out("alice")) == 1
    async with Provider(path=folder, port=first.port, users=[]) as third:
        assert not third.sessions
    await stand_in.stop()


async def test_a_file_of_another_version(tmp_path: Path) -> None:
    """A file that a newer release wrote is not guessed at."""
    async with Provider(path=tmp_path):
        pass
    file = tmp_path / "provider.json"
    Provider(path=tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 2}))
    with pytest.raises(ConfigurationError) as refused:
        Provider(path=tmp_path)
    assert refused.value.code == "provider_file_unreadable"


async def test_memory_alone_writes_nothing(tmp_path: Path, browser: Browser) -> None:
    """Without a folder there is no file."""
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        async with Provider() as provider:
            await browser.get(f"{provider.issuer}/admin")
    finally:
        os.chdir(before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "rubbish", "[]", '{"version": 0}', '{"version": 1}'])
async def test_a_file_that_is_not_ours(tmp_path: Path, text: str) -> None:
    """A file that can't be read is left alone, and said so."""
    file = tmp_path / "provider.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        Provider(path=tmp_path)
    assert refused.value.code == "provider_file_unreadable"
    assert file.read_text() == text


async def test_request_log(browser: Browser, stand_in: StandIn, provider: Provider) -> None:
    """provider.requests has method, path, status, grant type and error; nothing of the query."""
    code = await stand_in.code(browser)
    await stand_in.redeem(code)
    await stand_in.redeem(code)

    log = [(seen.method, seen.path, seen.status) for seen in provider.requests]
    assert log == [
        ("GET", "/authorize", 200),
        ("POST", "/sign-in", 303),
        ("POST", "/token", 200),
        ("POST", "/token", 400),
    ]
    assert [seen.grant_type for seen in provider.requests][2:] == ["authorization_code"] * 2
    assert provider.requests[-1].error == "invalid_grant"
    text = repr(provider.requests)
    assert code not in text
    assert SECRET not in text


async def test_nothing_is_logged(
    browser: Browser, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """Tornado's access log would print queries; the provider does not use it."""
    caplog.set_level(0)
    tokens = await stand_in.tokens(browser)
    await browser.get(f"{stand_in.provider.issuer}/end_session?id_token_hint={tokens['id_token']}")

    assert "id_token_hint" not in caplog.text
    assert f":{stand_in.provider.port}" not in caplog.text


async def test_tampered_documents(http_client: AsyncHTTPClient, provider: Provider) -> None:
    """A hook changes a document in place, or returns another; taken out, all is as before."""
    discovery = f"{provider.issuer}/.well-known/openid-configuration"
    provider.tamper["discovery"] = lambda document: document.update(issuer="http://evil.example")
    provider.tamper["jwks"] = lambda document: {"keys": []}

    assert json.loads((await get(http_client, discovery)).body)["issuer"] == "http://evil.example"
    assert json.loads((await get(http_client, f"{provider.issuer}/jwks")).body) == {"keys": []}
    provider.tamper.clear()
    assert json.loads((await get(http_client, discovery)).body)["issuer"] == provider.issuer


async def test_tampered_tokens(browser: Browser, stand_in: StandIn, provider: Provider) -> None:
    """A hook may change a token's claims, its typ and its key, or replace it."""
    stranger = generate_key("ES256", kid="stranger")

    def forge(draft: TokenDraft) -> None:
        draft.claims["aud"] = ["app", "other"]
        draft.typ = "at+jwt"
        draft.key = stranger

    provider.tamper["id_token"] = forge
    token = (await stand_in.tokens(browser))["id_token"]
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "stranger", "typ": "at+jwt"}
    claims = await stand_in.claims(token, key=jwt.PyJWK(stranger.to_jwk()))
    assert claims["aud"] == ["app", "other"]

    provider.tamper["logout_token"] = lambda draft: "no token at all"
    await provider.sign_out("alice")
    assert stand_in.logout_tokens == ["no token at all"]


async def test_tampered_answers(browser: Browser, stand_in: StandIn, provider: Provider) -> None:
    """Token, userinfo and authorization answers can be changed; a hook may be a coroutine."""

    async def slowly(answer: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        del answer["id_token"]

    tokens = await stand_in.tokens(browser)
    provider.tamper["authorize"] = lambda answer: answer.update(state="another")
    provider.tamper["token"] = slowly
    provider.tamper["userinfo"] = lambda claims: claims.update(sub="somebody else")

    assert "id_token" not in await stand_in.tokens(browser)
    assert stand_in.answers[-1]["state"] == "another"
    answer = await stand_in.userinfo(tokens["access_token"])
    assert json.loads(answer.body)["sub"] == "somebody else"


@pytest.mark.parametrize("name", ["discovery", "jwks", "authorize", "token", "userinfo", "revoke"])
async def test_tampered_into_another_answer(
    browser: Browser, stand_in: StandIn, provider: Provider, name: str
) -> None:
    """A hook that returns an Answer has it sent in place of the true one."""
    answer = Answer(status=503, headers={"Retry-After": "9"}, body="<h1>down</h1>")
    tokens = await stand_in.tokens(browser)
    code = await stand_in.code(browser)
    form = {"token": tokens["access_token"]}

    async def ask() -> tuple[int, str | None]:
        if name == "authorize":
            page = await browser.get(stand_in.authorization())
            return page.status, page.headers.get("Retry-After")
        if name == "token":
            response = await stand_in.redeem(code)
        elif name == "userinfo":
            response = await stand_in.userinfo(tokens["access_token"])
        elif name == "revoke":
            response = await stand_in.post("/revoke", form, basic("app", SECRET))
        else:
            paths = {"discovery": "/.well-known/openid-configuration", "jwks": "/jwks"}
            response = await get(stand_in.http, provider.issuer + paths[name])
        return response.code, response.headers.get("Retry-After")

    provider.tamper[name] = lambda value: answer
    assert await ask() == (503, "9")
    if name == "token":
        # The true answer was made, and lost on the way: the code is used.
        provider.tamper.clear()
        assert (await ask())[0] == 400


async def test_answer_instead(browser: Browser, stand_in: StandIn, provider: Provider) -> None:
    """What is answered instead is answered before anything happens: the code is still good."""
    code = await stand_in.code(browser)
    provider.answer_instead["token"] = Answer(status=400, body={"error": "slow_down"})
    refused = await stand_in.redeem(code)
    assert (refused.code, error_of(refused)) == (400, "slow_down")

    del provider.answer_instead["token"]
    assert (await stand_in.redeem(code)).code == 200
    provider.answer_instead["end_session"] = Answer(status=404, body=b"\xff")
    assert (await browser.get(f"{provider.issuer}/end_session")).body == b"\xff"


async def test_hanging(stand_in: StandIn, provider: Provider) -> None:
    """A hanging endpoint answers nothing until the caller leaves or the provider stops."""
    arrived = asyncio.Event()

    async def hang(document: dict[str, Any]) -> Answer:
        arrived.set()
        return Answer(hang=True)

    provider.answer_instead["discovery"] = Answer(hang=True)
    async with Browser(timeout=0.2) as impatient:
        with pytest.raises(DeadlineExceeded):
            await impatient.get(f"{provider.issuer}/.well-known/openid-configuration")
    provider.tamper["jwks"] = hang
    waiting = asyncio.ensure_future(get(stand_in.http, f"{provider.issuer}/jwks"))
    await arrived.wait()
    assert (await get(stand_in.http, f"{provider.issuer}/admin")).code == 200
    assert not waiting.done()

    await provider.stop()
    with pytest.raises(HTTPClientError, match="closed"):
        await waiting


async def test_misspelled_faults(provider: Provider) -> None:
    """A fault of an unknown name is refused, not forgotten."""
    for table in (provider.tamper, provider.answer_instead):
        with pytest.raises(ConfigurationError) as refused:
            table["tokens"] = Answer()  # type: ignore[assignment]
        assert refused.value.code == "fault_unknown"


async def test_an_exception_in_a_hook(
    http_client: AsyncHTTPClient, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that fails is a 500 without a trace to the caller."""
    provider.tamper["jwks"] = lambda document: document["nothing"]
    response = await get(http_client, f"{provider.issuer}/jwks")

    assert response.code == 500
    assert b"Traceback" not in response.body
    assert "KeyError" in caplog.text


async def test_clock_is_given(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """The provider reads the clock that it was given, and no other."""
    clock.now = 1_000_000_000
    claims = await stand_in.claims((await stand_in.tokens(browser))["id_token"])

    assert claims["iat"] == claims["auth_time"] == 1_000_000_000


async def test_unknown_pages(browser: Browser, provider: Provider) -> None:
    """There is nothing else, whatever the method."""
    assert (await browser.get(f"{provider.issuer}/nowhere")).status == 404
    assert (await browser.post(f"{provider.issuer}/nowhere", {})).status == 404
    assert (await browser.get(f"{provider.issuer}/token")).status == 405
    page = await browser.get(f"{provider.issuer}/style.css")
    assert page.headers["Content-Type"].startswith("text/css")


async def test_large_bodies(provider: Provider, http_client: AsyncHTTPClient) -> None:
    """More than 64 kB of a form is refused, and not read."""
    for size, error in ((64 * 1024, "invalid_request"), (64 * 1024 + 1, None)):
        response = await http_client.fetch(
            f"{provider.issuer}/token", method="POST", body=b"x" * size, raise_error=False
        )
        assert response.code == 400
        assert (error_of(response) if response.body else None) == error


async def test_its_own_process(tmp_path: Path, http_client: AsyncHTTPClient) -> None:
    """``python -m clefstorm.testing.provider`` serves one client until it is told to stop."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clefstorm.testing.provider", "--path", str(tmp_path)),
        *("--client-id", "app", "--client-secret", SECRET),
        *("--redirect-uri", "http://127.0.0.1:1/callback"),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    issuer = (await process.stdout.readline()).decode().strip()
    stand_in = StandIn(http_client, Provider(port=int(issuer.rpartition(":")[2])))
    assert stand_in.provider.issuer == issuer
    refused = await stand_in.redeem("no code", headers=basic("app", SECRET))
    assert error_of(refused) == "invalid_grant"
    async with Browser() as browser:
        url = stand_in.authorization(redirect_uri="http://127.0.0.1:1/callback")
        assert heading(await browser.get(url)) == "Sign in"

    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert (tmp_path / "provider.json").exists()
