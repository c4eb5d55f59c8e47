"""How sessions end at the embedded provider, and how its clients are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlencode

import jwt
import pytest
from stand_in import SECRET, StandIn, error_of, heading

from clefstorm.errors import ConfigurationError
from clefstorm.testing import Browser, Clock, Provider

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def end_session(stand_in: StandIn, **parameters: str) -> str:
    return f"{stand_in.provider.issuer}/end_session?{urlencode(parameters)}"


async def test_logout_token(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """A logout token has the claims and the typ of Back-Channel Logout 1.0, 2.4."""
    await stand_in.code(browser)
    [session] = stand_in.provider.sessions
    [delivery] = await stand_in.provider.sign_out("alice")

    [token] = stand_in.logout_tokens
    claims = await stand_in.claims(token)
    assert jwt.get_unverified_header(token)["typ"] == "logout+jwt"
    assert claims.pop("jti")
    assert claims == {
        "iss": stand_in.provider.issuer,
        "aud": "app",
        "iat": clock(),
        "exp": clock() + 120,
        "sub": stand_in.provider.account("alice").sub,
        "sid": session.sids["app"],
        "events": {LOGOUT_EVENT: {}},
    }
    assert delivery.delivered
    assert delivery.status == 200
    assert delivery.sid == session.sids["app"]
    assert stand_in.provider.deliveries == (delivery,)


async def test_sign_out_everywhere(new_browser: Callable[[], Browser], stand_in: StandIn) -> None:
    """All of the user's sessions end and all their clients are told; nobody else's."""
    stand_in.register("other")
    for username in ("alice", "alice", "bob"):
        browser = new_browser()
        await stand_in.code(browser, username)
        await stand_in.code(browser, username, client_id="other")

    deliveries = await stand_in.provider.sign_out("alice")

    assert [session.username for session in stand_in.provider.sessions] == ["bob"]
    assert len(deliveries) == len(stand_in.logout_tokens) == 4
    assert len({delivery.sid for delivery in deliveries}) == 4
    assert not await stand_in.provider.sign_out("alice")


async def test_clients_without_sid(new_browser: Callable[[], Browser], stand_in: StandIn) -> None:
    """A client that needs no sid is told once of the subject (Back-Channel Logout 2.2, 2.4)."""
    stand_in.register("app", backchannel_logout_session_required=False)
    for _ in range(2):
        await stand_in.code(new_browser())

    [delivery] = await stand_in.provider.sign_out("alice")

    assert delivery.sid is None
    assert "sid" not in await stand_in.claims(stand_in.logout_tokens[0])


async def test_clients_without_an_address(browser: Browser, stand_in: StandIn) -> None:
    """A client without backchannel_logout_uri is not called."""
    stand_in.register("app", backchannel_logout_uri=None)
    await stand_in.code(browser)

    assert not await stand_in.provider.sign_out("alice")
    assert not stand_in.provider.sessions


async def test_end_one_session(new_browser: Callable[[], Browser], stand_in: StandIn) -> None:
    """One browser's session ends by its handle; the user's other one lives on."""
    for _ in range(2):
        await stand_in.code(new_browser())
    first, second = stand_in.provider.sessions

    [delivery] = await stand_in.provider.end_session(first.handle)

    assert delivery.sid == first.sids["app"]
    assert stand_in.provider.sessions == (second,)
    assert not await stand_in.provider.end_session(first)


async def test_unknown_user(provider: Provider) -> None:
    """Signing out nobody is a mistake in the test."""
    with pytest.raises(ConfigurationError) as refused:
        await provider.sign_out("nobody")
    assert refused.value.code == "account_unknown"


@pytest.mark.parametrize(
    ("status", "delivered"), [(200, True), (204, True), (400, False), (500, False), (302, False)]
)
async def test_refused_deliveries(
    browser: Browser, stand_in: StandIn, status: int, delivered: bool
) -> None:
    """The log has each client's answer; the session is over whatever it is."""
    stand_in.logout_status = status
    await stand_in.code(browser)

    [delivery] = await stand_in.provider.sign_out("alice")

    assert (delivery.status, delivery.delivered) == (status, delivered)
    assert not stand_in.provider.sessions


async def test_client_is_down(browser: Browser, stand_in: StandIn) -> None:
    """A client that can't be reached is logged with the reason, and others are told."""
    stand_in.register("other")
    await stand_in.code(browser)
    await stand_in.code(browser, client_id="other")
    stand_in.register("other", backchannel_logout_uri="http://127.0.0.1:1/gone")

    deliveries = await stand_in.provider.sign_out("alice")

    by_client = {delivery.client_id: delivery for delivery in deliveries}
    assert by_client["app"].delivered
    assert by_client["other"].status is None
    assert by_client["other"].error


async def test_access_ends_with_the_session(browser: Browser, stand_in: StandIn) -> None:
    """Tokens of an ended session die, those for offline access live on (Back-Channel 2.7)."""
    online = await stand_in.tokens(browser)
    offline = await stand_in.tokens(browser, scope="openid offline_access")
    assert (await stand_in.userinfo(online["access_token"])).code == 200

    await stand_in.provider.sign_out("alice")

    assert (await stand_in.userinfo(online["access_token"])).code == 401
    assert (await stand_in.refresh(offline["refresh_token"])).code == 200


async def test_a_code_dies_with_the_session(browser: Browser, stand_in: StandIn) -> None:
    """A logout between the callback and the token request wins."""
    code = await stand_in.code(browser)
    await stand_in.provider.sign_out("alice")

    assert error_of(await stand_in.redeem(code)) == "invalid_grant"


async def test_rp_initiated_logout(browser: Browser, stand_in: StandIn) -> None:
    """With a valid hint the session ends at once and the user goes back (RP-Initiated 2, 3)."""
    tokens = await stand_in.tokens(browser)
    page = await browser.get(
        end_session(
            stand_in,
            id_token_hint=tokens["id_token"],
            client_id="app",
            post_logout_redirect_uri=f"{stand_in.url}/callback?bye",
            state="a state",
        )
    )

    assert page.url == f"{stand_in.url}/callback?bye&state=a+state"
    assert not stand_in.provider.sessions
    assert len(stand_in.logout_tokens) == 1
    assert browser.cookies.get(f"clefstorm_provider_{stand_in.provider.port}") is None
    assert heading(await browser.get(stand_in.authorization())) == "Sign in"


async def test_the_hint_may_be_old(
    browser: Browser, clock: Clock, stand_in: StandIn, provider: Provider
) -> None:
    """An expired hint of a rotated key is as good as a fresh one (RP-Initiated 2)."""
    tokens = await stand_in.tokens(browser)
    clock.advance(86400)
    provider.rotate_keys()
    page = await browser.get(end_session(stand_in, id_token_hint=tokens["id_token"]))

    assert heading(page) == "You are signed out"
    assert not provider.sessions


async def test_post_logout(browser: Browser, stand_in: StandIn) -> None:
    """The endpoint takes POST from the client's own page (RP-Initiated 2)."""
    tokens = await stand_in.tokens(browser)
    page = await browser.post(
        f"{stand_in.provider.issuer}/end_session",
        {"id_token_hint": tokens["id_token"]},
        initiator=f"{stand_in.url}/",
    )

    assert heading(page) == "You are signed out"
    assert not stand_in.provider.sessions


async def test_nobody_is_signed_in(browser: Browser, stand_in: StandIn) -> None:
    """With nothing to end, the user goes straight back."""
    page = await browser.get(
        end_session(
            stand_in,
            client_id="app",
            post_logout_redirect_uri=f"{stand_in.url}/callback?bye",
        )
    )
    assert page.url == f"{stand_in.url}/callback?bye"


async def test_asks_without_a_hint(browser: Browser, stand_in: StandIn) -> None:
    """Without a hint the user is asked, and may stay (RP-Initiated 2)."""
    await stand_in.code(browser)
    question = await browser.get(
        end_session(
            stand_in,
            client_id="app",
            post_logout_redirect_uri=f"{stand_in.url}/callback?bye",
        )
    )
    assert heading(question) == "Sign out?"
    page = await browser.submit(question, button="stay")
    assert heading(page) == "You are still signed in"
    assert stand_in.provider.sessions
    assert not stand_in.logout_tokens

    page = await browser.submit(question, button="sign-out")
    assert page.url == f"{stand_in.url}/callback?bye"
    assert not stand_in.provider.sessions
    assert len(stand_in.logout_tokens) == 1


async def test_hints_that_do_not_count(
    new_browser: Callable[[], Browser], stand_in: StandIn
) -> None:
    """A hint of another user, or not signed by us, ends nothing without a click."""
    browser, other = new_browser(), new_browser()
    mine = (await stand_in.tokens(browser, "alice"))["id_token"]
    theirs = (await stand_in.tokens(other, "bob"))["id_token"]
    head, body, signature = mine.split(".")
    forged = ".".join((head, body, signature[:-4] + "AAAA"))

    # A client with a shared secret can sign what it likes, but not in the name of another issuer.
    stand_in.register("hmac", id_token_signed_response_alg="HS256")
    claims = {
        "iss": "http://evil.example",
        "aud": "hmac",
        "sub": stand_in.provider.account("alice").sub,
    }
    foreign = jwt.encode(claims, SECRET, "HS256")
    for hint in (theirs, forged, foreign, "rubbish"):
        page = await browser.get(end_session(stand_in, id_token_hint=hint))
        assert heading(page) == "Sign out?"
    assert len(stand_in.provider.sessions) == 2
    own = jwt.encode({**claims, "iss": stand_in.provider.issuer}, SECRET, "HS256")
    for hint in (mine, own):
        assert hint
        await browser.get(end_session(stand_in, id_token_hint=hint))
        assert [session.username for session in stand_in.provider.sessions] == ["bob"]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        pytest.param(
            {"client_id": "app", "post_logout_redirect_uri": "http://evil.example/"},
            "post_logout_redirect_uri_unregistered",
            id="another_address",
        ),
        pytest.param(
            {"post_logout_redirect_uri": "http://evil.example/"},
            "post_logout_redirect_uri_unregistered",
            id="address_of_nobody",
        ),
        pytest.param({"client_id": "stranger"}, "client_unknown", id="unknown_client"),
    ],
)
async def test_refused_logouts(
    browser: Browser, stand_in: StandIn, parameters: dict[str, str], code: str
) -> None:
    """What is wrong is said to the user; nothing ends, nothing is redirected (RP-Initiated 4)."""
    tokens = await stand_in.tokens(browser)
    page = await browser.get(end_session(stand_in, **parameters))

    assert page.status == 400
    assert f"Code: {code}" in page.text
    assert stand_in.provider.sessions
    page = await browser.get(end_session(stand_in, id_token_hint=tokens["id_token"]))
    assert heading(page) == "You are signed out"


async def test_the_hint_is_of_the_client(browser: Browser, stand_in: StandIn) -> None:
    """client_id must be the one the hint was issued to (RP-Initiated 2); nothing twice."""
    stand_in.register("other")
    hint = (await stand_in.tokens(browser))["id_token"]

    for url in (
        end_session(stand_in, id_token_hint=hint, client_id="other"),
        end_session(stand_in, id_token_hint=hint) + "&client_id=app&client_id=app",
    ):
        assert (await browser.get(url)).status == 400
    assert stand_in.provider.sessions


async def test_forged_confirmation(browser: Browser, stand_in: StandIn) -> None:
    """Another site can't press the button."""
    await stand_in.code(browser)
    page = await browser.get(end_session(stand_in))
    form = page.form("confirm-logout")
    sent = form.filled({}, button="sign-out")

    refused = await browser.post(form.action, sent, initiator="http://evil.example/")
    assert refused.status == 403
    refused = await browser.post(form.action, {**sent, "_xsrf": "x"}, initiator=page)
    assert refused.status == 403
    assert stand_in.provider.sessions


async def test_admin_page(new_browser: Callable[[], Browser], stand_in: StandIn) -> None:
    """The admin page shows users, sessions, clients, deliveries, and its buttons work."""
    admin = new_browser()
    stand_in.register("app", client_name="The <application>")
    for username in ("alice", "alice", "bob"):
        await stand_in.code(new_browser(), username)
    first = stand_in.provider.sessions[0]

    page = await admin.get(f"{stand_in.provider.issuer}/")
    assert page.url.endswith("/admin")
    assert page.text.count("The &lt;application&gt;") == 3
    assert page.text.count("Firefox on Linux") == 3
    assert "None yet" in page.text

    page = await admin.submit(page, form=f"end-{first.handle}")
    assert [session.username for session in stand_in.provider.sessions] == ["alice", "bob"]
    stand_in.logout_status = 500
    page = await admin.submit(page, form="sign-out-alice")
    assert [session.username for session in stand_in.provider.sessions] == ["bob"]
    assert '<span class="good">200</span>' in page.text
    assert '<span class="bad">500</span>' in page.text

    before = json.loads((await stand_in.http.fetch(f"{stand_in.provider.issuer}/jwks")).body)
    await admin.submit(page, form="rotate-keys")
    after = json.loads((await stand_in.http.fetch(f"{stand_in.provider.issuer}/jwks")).body)
    assert after["keys"][1:] == before["keys"]


async def test_forged_admin_clicks(new_browser: Callable[[], Browser], stand_in: StandIn) -> None:
    """Another site, or a form without its token, signs nobody out."""
    await stand_in.code(new_browser())
    browser = new_browser()
    page = await browser.get(f"{stand_in.provider.issuer}/admin")
    fields = page.form("sign-out-alice").fields

    for sent, initiator in (
        (fields, "http://evil.example/"),
        (fields, f"{stand_in.url}/"),
        ({"username": "alice"}, page),
    ):
        url = f"{stand_in.provider.issuer}/admin/sign-out"
        assert (await browser.post(url, sent, initiator=initiator)).status == 403
    for path in ("/admin/end-session", "/admin/rotate-keys"):
        refused = await browser.post(f"{stand_in.provider.issuer}{path}", {}, initiator=page)
        assert refused.status == 403
    assert stand_in.provider.sessions
