"""A client that nobody here wrote, against the embedded Eternaltwin API: eternaltwin 1.0.0."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from installing import drive, installed

from clefstorm.testing import Account, Browser, Provider, demo_accounts
from clefstorm.testing.fixtures import provider as provider

pytestmark = pytest.mark.gen_test(timeout=90)

CALLBACK = "http://127.0.0.1:9/callback"
SECRET = "100% + secret, as it is"


@pytest.fixture(scope="session")
def eternaltwin() -> Path:
    return installed("eternaltwin==1.0.0")


@pytest.fixture
def given(provider: Provider) -> dict[str, Any]:
    """One application and one user more, who was made later and is an administrator."""
    provider.add_client("game@clients", SECRET, [CALLBACK])
    claims = {"is_administrator": True, "created_at": "2024-05-06T07:08:09.123Z"}
    erin = Account(username="erin", password="x", name="Erin Ember", claims=claims)
    provider.accounts = {account.username: account for account in (*demo_accounts(), erin)}
    return {
        "options": {
            "url": provider.api_url,
            "client_id": "game@clients",
            "client_secret": SECRET,
            "redirect_uri": CALLBACK,
        },
        "erin": erin.sub,
        "alice": provider.account("alice").sub,
    }


HEAD = """
import asyncio
from eternaltwin.connections import async_connections, configure, connections
from eternaltwin.exceptions import RequestError
from eternaltwin.keys import HS256Key
from eternaltwin.users import User
configure(default={**given["options"], "state_key": HS256Key("a key of thirty-two bytes or so..")})

def user(one):
    return [one.identifier, one.username, one.is_administrator, str(one.created_at), one.deleted_at]
"""

START = f"""{HEAD}
answer["state"], answer["url"] = User.start_authorization()
"""

BLOCKING = f"""{HEAD}
token = connections.get_connection().token(given["codes"][0])
answer["token"] = [token.token_type, token.refresh_token is not None, token.has_expired()]
client = connections.get_connection().users
answer["me"] = client.me(token).json()["user"]["id"]
answer["guest"] = client.me().json()
answer["found"] = client.search("a", limit=2, offset=1).json()
answer["erin"] = user(User.get(given["erin"]))
answer["from_token"] = user(User.from_token(token))
answer["names"] = [each.username for each in User.search("ar")]
answer["count"] = User.count("AR")
one = User.from_authorization_code(given["codes"][1], given["state"], given["state"])
answer["signed_in"] = [one.username, one.is_authenticated]
answer["errors"] = []
token.access_token = "not a token of anybody"
for call in (
    lambda: client.get("nobody"),
    lambda: client.search("a", limit="x"),
    lambda: client.me(token),
    lambda: connections.get_connection().token(given["codes"][0]),
):
    try:
        call()
    except RequestError as error:
        answer["errors"].append(error.response.status_code)
"""

ASYNC = f"""{HEAD}
async def main():
    client = async_connections.get_connection()
    token = await client.token(given["codes"][0])
    answer["token"] = [token.token_type, token.refresh_token is not None, token.has_expired()]
    answer["me"] = (await client.users.me(token)).json()["user"]["id"]
    answer["guest"] = (await client.users.me()).json()
    answer["found"] = (await client.users.search("a", limit=2, offset=1)).json()
    answer["erin"] = user(await User.aget(given["erin"]))
    answer["from_token"] = user(await User.afrom_token(token))
    answer["names"] = [each.username for each in await User.asearch("ar")]
    answer["count"] = await User.acount("AR")
    one = await User.afrom_authorization_code(given["codes"][1], given["state"], given["state"])
    answer["signed_in"] = [one.username, one.is_authenticated]
    answer["errors"] = []
    token.access_token = "not a token of anybody"
    for call in (
        lambda: client.users.get("nobody"),
        lambda: client.users.search("a", limit="x"),
        lambda: client.users.me(token),
        lambda: client.token(given["codes"][0]),
    ):
        try:
            await call()
        except RequestError as error:
            answer["errors"].append(error.response.status_code)
asyncio.run(main())
"""


@pytest.mark.parametrize("program", [BLOCKING, ASYNC], ids=["blocking", "async"])
async def test_eternaltwin(
    eternaltwin: Path, provider: Provider, given: dict[str, Any], program: str, io_loop
) -> None:
    """eternaltwin 1.0.0 begins a login, exchanges codes, and asks for users, with both clients;
    what we refuse is an error of its own, with the status.
    """
    begun = await drive(eternaltwin, START, **given)
    codes = []
    async with Browser() as browser:
        for _ in range(2):
            page = await browser.get(begun["url"], follow=False)
            if page.status == 200:
                page = await browser.submit(form="demo-accounts", button="alice", follow=False)
            query = parse_qs(urlsplit(page.headers["Location"]).query)
            assert query["state"] == [begun["state"]]
            codes += query["code"]
    answer = await drive(eternaltwin, program, **given, codes=codes, state=begun["state"])
    alice = [given["alice"], "Alice Archer", False, "2020-01-01 00:00:00+00:00", None]
    found = answer.pop("found")
    shown = [user["display_name"]["current"]["value"] for user in found["items"]]
    assert (shown, found["count"]) == (["Bob Baker", "Carol Carver"], 4)
    assert (found["offset"], found["limit"]) == (1, 2)
    assert answer == {
        "token": ["Bearer", True, False],
        "me": given["alice"],
        "guest": {"type": "Guest"},
        "erin": [given["erin"], "Erin Ember", True, "2024-05-06 07:08:09.123000+00:00", None],
        "from_token": alice,
        "names": ["Alice Archer", "Carol Carver"],
        "count": 2,
        "signed_in": ["Alice Archer", True],
        "errors": [404, 400, 401, 400],
    }
