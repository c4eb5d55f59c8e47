"""AsyncClient: each method is one flow of its provider under the driver."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from protocol.expecting import refusal
from providers.driving import ISSUER, NOW, REDIRECT, SIGNING, Wire, clock, drive

from clefstorm import client as module
from clefstorm.client import AsyncClient
from clefstorm.errors import ConfigurationError, RequestRefused
from clefstorm.keys import HS256Key
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.logout_token import LOGOUT_EVENT
from clefstorm.providers import OpenIDProvider

STATE_KEY = HS256Key(b"k" * 32)
SECRET = "a-secret-of-thirty-two-characters"


class HandRunner:
    """A driver that answers by hand, and remembers how it was used."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.wire = Wire()
        self.deadlines: list[float] = []
        self.closed = False

    async def run(self, flow: Flow[Any], *, deadline: float) -> Any:
        self.deadlines.append(deadline)
        return drive(flow, self.wire).result

    async def close(self) -> None:
        self.closed = True


def make(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[AsyncClient, HandRunner]:
    monkeypatch.setattr(module, "AsyncRunner", HandRunner)
    provider = OpenIDProvider(
        issuer=ISSUER,
        client_id="app",
        client_secret=SECRET,
        redirect_uri=REDIRECT,
        post_logout_redirect_uri="https://app.example/bye",
    )
    client = AsyncClient(provider, clock=clock, **options)
    runner: Any = client._runner
    return client, runner


async def test_whole_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin, callback, code, refresh, logout: each in one bounded step (DESIGN, law 8), with the
    clock that was given (law 5).
    """
    client, runner = make(monkeypatch, deadline=7.0)
    begun = await client.begin_login(
        STATE_KEY, prompt="login", login_hint="ann", ui_locales="de", max_age=9, extra={"x": "y"}
    )
    sent = parse_qs(urlsplit(begun.url).query)
    assert [sent[n] for n in ("prompt", "login_hint", "ui_locales", "max_age", "x")] == [
        ["login"], ["ann"], ["de"], ["9"], ["y"],
    ]  # fmt: skip
    runner.wire.nonce = begun.pending.nonce
    runner.wire.claims = {"auth_time": NOW}
    grant = await client.check_callback([("code", "c")], begun.pending)
    signed_in = await client.redeem(grant)
    assert signed_in.identity.sub == "ann"
    fresh = await client.refresh(signed_in.tokens)
    assert fresh.expires_at == NOW + 3600
    identity = await client.identify_refreshed(fresh, signed_in.identity)
    assert identity.sub == "ann"
    url = await client.end_session_url(id_token="a.b.c", state="s")
    assert url is not None
    assert parse_qs(urlsplit(url).query)["state"] == ["s"]
    token = build_jwt(
        {
            "iss": ISSUER, "aud": "app", "sub": "ann", "iat": NOW, "exp": NOW + 120, "jti": "j",
            "events": {LOGOUT_EVENT: {}},
        },
        SIGNING,
    )  # fmt: skip
    assert (await client.check_logout(token)).sub == "ann"
    assert runner.deadlines == [7.0] * 7
    await client.close()
    assert runner.closed


async def test_errors_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a flow raises is what the method raises."""
    client, _ = make(monkeypatch)
    begun = await client.begin_login(STATE_KEY)
    with refusal(RequestRefused, "code_missing"):
        await client.check_callback([], begun.pending)


async def test_end_session_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a hint and a state the provider still learns which client asks."""
    client, _ = make(monkeypatch)
    url = await client.end_session_url()
    assert url is not None
    assert set(parse_qs(urlsplit(url).query)) == {"client_id", "post_logout_redirect_uri"}


def test_driver_gets_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """timeout, verify and clock are the driver's; the deadline is ten seconds unless said."""
    client, runner = make(monkeypatch, timeout=(1.0, 2.0), verify="ca.pem")
    assert runner.options == {"timeout": (1.0, 2.0), "verify": "ca.pem", "clock": clock}
    assert client._deadline == 10.0


def test_defaults_and_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    client, _ = make(monkeypatch, state_key=STATE_KEY)
    assert (client.alias, client.state_key) == ("default", STATE_KEY)
    assert repr(client) == f"<AsyncClient 'default' of {ISSUER}>"
    assert SECRET not in repr(client) + str(client)


@pytest.mark.parametrize("deadline", [0, -1, None, "10", float("nan"), float("inf")])
def test_deadline(monkeypatch: pytest.MonkeyPatch, deadline: Any) -> None:
    """Every step that a user waits for ends (DESIGN, law 8)."""
    make(monkeypatch, deadline=0.5)
    with refusal(ConfigurationError, "deadline_invalid"):
        make(monkeypatch, deadline=deadline)
