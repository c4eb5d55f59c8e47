"""The embedded provider as a Clef server: what its page refuses, and whom it tells."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from clef_names import APP_ID, APP_SECRET, CALLBACK

from clefstorm import ClefAPIError
from clefstorm.testing import Provider


def wave_url(provider, **changes: str | None) -> str:
    query = {"app_id": APP_ID, "redirect_url": f"{CALLBACK}?state=s%201", **changes}
    given = {name: value for name, value in query.items() if value is not None}
    return f"{provider.issuer}/clef/wave?{urlencode(given)}"


async def test_wave_page(storm, provider, browser) -> None:
    """By one tap, the session that is there, or a password: back with the state and a code."""
    codes = set()
    for submit in (
        {"form": "demo-accounts", "button": "alice"},
        {"form": "approve", "button": "alice"},
        {"form": "sign-in", "username": "alice", "password": "alice-secret"},
    ):
        await browser.get(wave_url(provider))
        page = await browser.submit(**submit, follow=False)
        location = urlsplit(page.headers["Location"])
        assert location._replace(query="").geturl() == CALLBACK
        query = parse_qs(location.query)
        assert query.pop("state") == ["s 1"]
        codes.add(query.pop("code")[0])
        assert not query
    assert len(codes) == 3


async def test_wave_asks_each_time(storm, provider, browser) -> None:
    """No page can sign a visitor in without a click, though the provider knows the browser."""
    await browser.get(wave_url(provider))
    await browser.submit(form="demo-accounts", button="alice", follow=False)
    page = await browser.get(wave_url(provider), follow=False)
    assert (page.status, "Location" in page.headers) == (200, False)
    page = await browser.submit(form="sign-in", username="bob", password="wrong", follow=False)
    assert (page.status, "belong together" in page.text) == (403, True)


async def test_wave_cancelled(storm, provider, browser) -> None:
    """Whoever says no goes back with an error, and no code."""
    await browser.get(wave_url(provider))
    page = await browser.submit(form="sign-in", button="cancel", follow=False)
    assert parse_qs(urlsplit(page.headers["Location"]).query) == {
        "state": ["s 1"],
        "error": ["access_denied"],
    }


async def test_approval_is_of_the_account_that_was_shown(storm, provider, browser) -> None:
    """When another tab has signed in somebody else meanwhile, the page asks again."""
    await browser.get(wave_url(provider))
    await browser.submit(form="demo-accounts", button="alice", follow=False)
    shown = await browser.get(wave_url(provider))
    await browser.submit(form="demo-accounts", button="bob", follow=False)
    page = await browser.submit(shown, form="approve", button="alice", follow=False)
    assert (page.status, "Go on as Bob Baker" in page.text) == (200, True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"app_id": "who"}, "client_unknown", id="app"),
        pytest.param({"app_id": None}, "client_unknown", id="no_app"),
        pytest.param({"redirect_url": None}, "redirect_uri_unregistered", id="no_address"),
        pytest.param(
            {"redirect_url": "https://evil.example/?state=x"},
            "redirect_uri_unregistered",
            id="other_site",
        ),
        pytest.param(
            {"redirect_url": f"{CALLBACK}?state=x&next=/"},
            "redirect_uri_unregistered",
            id="more_query",
        ),
        pytest.param(
            {"redirect_url": f"{CALLBACK}/x"}, "redirect_uri_unregistered", id="longer_path"
        ),
        pytest.param({"type": "wave"}, "invalid_request", id="type"),
    ],
)
async def test_wave_page_refuses(storm, provider, browser, changes, code: str) -> None:
    """What is not registered is shown to the user, and the browser is sent nowhere."""
    page = await browser.get(wave_url(provider, **changes), follow=False)
    assert (page.status, code in page.text, "Location" in page.headers) == (400, True, False)


async def test_codes_belong_to_their_application(storm, make_storm, provider, new_code) -> None:
    """Another application's secret opens no code of ours, and does not use it up."""
    provider.add_client("other", "other-secret", [CALLBACK])
    code = await new_code()
    with pytest.raises(ClefAPIError, match="Invalid OAuth Code"):
        await make_storm("other", "other-secret").get_token(code)
    assert await storm.get_token(code)


async def test_openid_and_clef_codes_are_apart(storm, provider, new_code) -> None:
    """A Clef code is none at the token endpoint, where PKCE would have to protect it."""
    _, session = await provider.sign_in("alice", previous=None, user_agent="test")
    code = provider.grants.issue_code(
        session,
        client_id=APP_ID,
        redirect_uri=CALLBACK,
        code_challenge="x" * 43,
        nonce=None,
        scope=["openid"],
    )
    with pytest.raises(ClefAPIError, match="Invalid OAuth Code"):
        await storm.get_token(code)


async def test_tokens_end_with_the_session(storm, provider, new_code) -> None:
    """After the user signed out, an access token says nothing any more."""
    token = await storm.get_token(await new_code("alice"))
    await storm.get_info(token)
    (delivery,) = await provider.sign_out("alice")
    assert (delivery.client_id, delivery.url) == (APP_ID, "http://127.0.0.1:9/hook")
    with pytest.raises(ClefAPIError, match="Invalid token"):
        await storm.get_info(token)


async def test_script_is_served(storm, provider, browser) -> None:
    """/v3/clef.js may be loaded by any page, and needs neither eval nor inline style."""
    page = await browser.get(f"{provider.issuer}/v3/clef.js")
    assert page.headers["Content-Type"].startswith("text/javascript")
    assert page.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "eval" not in page.text
    assert "innerHTML" not in page.text


async def test_webhook_after_a_restart(io_loop, tmp_path) -> None:
    """With a folder, whoever approved an application is remembered: its hook is called later."""
    for restarted in (False, True):
        async with Provider(path=tmp_path) as provider:
            provider.add_client(
                APP_ID, APP_SECRET, [CALLBACK], clef_logout_uri="http://127.0.0.1:9/hook"
            )
            if not restarted:
                _, session = await provider.sign_in("alice", previous=None, user_agent="test")
                provider.clef.issue_code(session, app_id=APP_ID)
            else:
                (delivery,) = await provider.sign_out("alice")
                assert delivery.client_id == APP_ID
