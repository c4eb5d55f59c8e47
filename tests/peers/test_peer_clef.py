"""Two clients that nobody here wrote, against the embedded Clef API: clef and clefstorm 0.1.2."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest
from installing import drive, installed

from clefstorm.testing import Browser, Provider
from clefstorm.testing.fixtures import provider as provider

pytestmark = pytest.mark.gen_test(timeout=60)

CALLBACK = "http://127.0.0.1:9/callback"


@pytest.fixture(scope="session")
def clef() -> Path:
    return installed("clef==0.0.8")


@pytest.fixture(scope="session")
def old_clefstorm() -> Path:
    # Its build imports Tornado, and its own dependency is there already.
    return installed("clefstorm==0.1.2", "--no-build-isolation", "--no-deps")


@pytest.fixture
def given(provider: Provider) -> dict[str, str]:
    """Two applications, one of them without a logout hook."""
    provider.add_client("app", "secret", [CALLBACK], clef_logout_uri="http://127.0.0.1:9/hook")
    provider.add_client("public", None, [CALLBACK])
    provider.add_client("hookless", "secret", [CALLBACK])
    return {
        "root": f"{provider.issuer}/api",
        "api_url": provider.api_url,
        "logout_token": provider.clef.logout_token("app", "bob"),
    }


async def codes(provider: Provider, count: int) -> list[str]:
    _, session = await provider.sign_in("alice", previous=None, user_agent="test")
    return [provider.clef.issue_code(session, app_id="app") for _ in range(count)]


def alice(provider: Provider) -> dict[str, object]:
    return {
        "id": provider.account("alice").clef_id,
        "email": "alice@example.com",
        "first_name": "Alice",
        "last_name": "Archer",
        "phone_number": None,
    }


CLEF = """
from clef import ClefAPI
api = ClefAPI(app_id="app", app_secret="secret", root=given["root"])
answer["info"] = api.get_login_information(given["codes"][0])
answer["logged_out"] = api.get_logout_information(given["logout_token"])
"""


async def test_clef(clef: Path, provider: Provider, given: dict) -> None:
    """clef 0.0.8 signs a user in and learns of a logout."""
    answer = await drive(clef, CLEF, **given, codes=await codes(provider, 1))
    assert answer == {"info": alice(provider), "logged_out": provider.account("bob").clef_id}


CLEF_ERRORS = """
from clef import ClefAPI, APIError
def error(app_id, app_secret, call, *arguments):
    api = ClefAPI(app_id=app_id, app_secret=app_secret, root=given["root"])
    try:
        getattr(api, call)(*arguments)
    except APIError as caught:
        return type(caught).__name__
answer["errors"] = [
    error("who", "secret", "get_login_information", "x"),
    error("app", "wrong", "get_login_information", "x"),
    error("public", "secret", "get_login_information", "x"),
    error("app", "secret", "get_login_information", "x"),
    error("app", "secret", "_get_user_info", "x"),
    error("app", "secret", "get_logout_information", "x"),
    error("hookless", "secret", "get_logout_information", "x"),
]
"""


async def test_clef_knows_our_errors(clef: Path, given: dict) -> None:
    """Each refusal of the embedded API is one that clef 0.0.8 has a class for."""
    assert (await drive(clef, CLEF_ERRORS, **given))["errors"] == [
        "InvalidAppIDError",
        "InvalidAppSecretError",
        "InvalidAppError",
        "InvalidOAuthCodeError",
        "InvalidOAuthTokenError",
        "InvalidLogoutTokenError",
        "ServerError",
    ]


CLEFSTORM = """
import asyncio, datetime
import clefstorm
assert not hasattr(clefstorm, "RelyingParty")
async def main():
    storm = clefstorm.ClefStorm("app", "secret")
    storm.api_url = given["api_url"]
    token = await storm.get_token(given["codes"][0])
    answer["info"] = await storm.get_info(token)
    answer["logged_out"] = await storm.get_logged_out_clef_id(given["logout_token"])
    answer["button"] = storm.generate_button(given["callback"], "a state")
    waiting = asyncio.ensure_future(storm.wait_for_logout(7, datetime.timedelta(seconds=20)))
    await asyncio.sleep(0.05)
    answer["notified"] = storm.notify_logout(7)
    answer["woken"] = await waiting
    try:
        await storm.get_token("x")
    except Exception as error:
        answer["error"] = type(error).__name__
asyncio.run(main())
"""


async def test_clefstorm_of_before(
    old_clefstorm: Path, provider: Provider, given: dict, io_loop
) -> None:
    """clefstorm 0.1.2 signs a user in, learns of a logout, and its button leads to our page."""
    answer = await drive(
        old_clefstorm, CLEFSTORM, **given, codes=await codes(provider, 1), callback=CALLBACK
    )
    button = answer.pop("button")
    assert answer == {
        "info": alice(provider),
        "logged_out": provider.account("bob").clef_id,
        "notified": 1,
        "woken": 7,
        "error": "HTTPClientError",  # a fault of 0.1.2: a JSON error was a bare HTTP error
    }
    assert f'data-redirect-url="{CALLBACK}?state=a+state"' in button
    async with Browser() as browser:
        query = urlencode({"app_id": "app", "redirect_url": f"{CALLBACK}?state=a+state"})
        await browser.get(f"{provider.issuer}/clef/wave?{query}")
        page = await browser.submit(form="demo-accounts", button="alice", follow=False)
        assert page.headers["Location"].startswith(f"{CALLBACK}?state=a+state&code=")
