"""AsyncClient and Client: each method is one flow of its provider under the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from protocol.expecting import refusal
from providers.driving import ISSUER, NOW, REDIRECT, SIGNING, Wire, clock, drive
from tornado.ioloop import IOLoop

from clefstorm.client import AsyncClient, Client, one_alias
from clefstorm.errors import ConfigurationError, ConnectFailed, RequestRefused
from clefstorm.keys import HS256Key
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.logout_token import LOGOUT_EVENT
from clefstorm.providers import OpenIDProvider
from clefstorm.transport import NO_AUTH, ConnectionHook, ConnectionManager

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


def make(
    monkeypatch: pytest.MonkeyPatch, kind: type[Any] = AsyncClient, **options: Any
) -> tuple[Any, HandRunner]:
    monkeypatch.setattr(one_alias, "AsyncRunner", HandRunner)
    provider = OpenIDProvider(
        issuer=ISSUER,
        client_id="app",
        client_secret=SECRET,
        redirect_uri=REDIRECT,
        post_logout_redirect_uri="https://app.example/bye",
    )
    client = kind(provider, clock=clock, **options)
    runner: Any = client._runner
    return client, runner


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_whole_life(monkeypatch: pytest.MonkeyPatch, io_loop: IOLoop, kind: type[Any]) -> None:
    """Begin, callback, code, refresh, logout: each in one bounded step (DESIGN, law 8), with the
    clock that was given (law 5); the blocking client does what the async one does.
    """
    client, runner = make(monkeypatch, kind, deadline=7.0)

    def call(method: Callable[..., Any], *args: Any, **more: Any) -> Any:
        if kind is Client:
            return method(*args, **more)
        return io_loop.run_sync(lambda: method(*args, **more))

    begun = call(
        client.begin_login,
        STATE_KEY,
        prompt="login",
        login_hint="ann",
        ui_locales="de",
        max_age=9,
        extra={"x": "y"},
    )
    sent = parse_qs(urlsplit(begun.url).query)
    assert [sent[n] for n in ("prompt", "login_hint", "ui_locales", "max_age", "x")] == [
        ["login"], ["ann"], ["de"], ["9"], ["y"],
    ]  # fmt: skip
    runner.wire.nonce = begun.pending.nonce
    runner.wire.claims = {"auth_time": NOW}
    grant = call(client.check_callback, [("code", "c")], begun.pending)
    signed_in = call(client.redeem, grant)
    assert signed_in.identity.sub == "ann"
    fresh = call(client.refresh, signed_in.tokens)
    assert fresh.expires_at == NOW + 3600
    identity = call(client.identify_refreshed, fresh, signed_in.identity)
    assert identity.sub == "ann"
    url = call(client.end_session_url, id_token="a.b.c", state="s")
    assert url is not None
    assert parse_qs(urlsplit(url).query)["state"] == ["s"]
    token = build_jwt(
        {
            "iss": ISSUER, "aud": "app", "sub": "ann", "iat": NOW, "exp": NOW + 120, "jti": "j",
            "events": {LOGOUT_EVENT: {}},
        },
        SIGNING,
    )  # fmt: skip
    assert call(client.check_logout, token).sub == "ann"
    assert runner.deadlines == [7.0] * 7
    call(client.close)
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
    """timeout, verify, clock and manager are the driver's; the deadline is 10 s unless said."""
    client, runner = make(monkeypatch, timeout=(1.0, 2.0), verify="ca.pem")
    assert runner.options == {
        "timeout": (1.0, 2.0),
        "verify": "ca.pem",
        "clock": clock,
        "manager": None,
    }
    _, given = make(monkeypatch, manager=(manager := ConnectionManager()))
    assert given.options["manager"] is manager
    assert client._deadline == 10.0


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_defaults_and_repr(monkeypatch: pytest.MonkeyPatch, kind: type[Any]) -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    client, _ = make(monkeypatch, kind, state_key=STATE_KEY)
    assert (client.alias, client.state_key) == ("default", STATE_KEY)
    assert repr(client) == f"<{kind.__name__} 'default' of {ISSUER}>"
    assert SECRET not in repr(client) + str(client)


async def test_the_blocking_client_in_a_running_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blocking call that would stop a running loop says so instead."""
    client, runner = make(monkeypatch, Client)
    with refusal(ConfigurationError, "blocking_in_loop"):
        client.begin_login(STATE_KEY)
    assert runner.deadlines == []


def test_a_manager_serves_the_provider() -> None:
    """The connections of a client may be an application's own: its hook sees whom and with what."""

    class Hook(ConnectionHook):
        asked: ClassVar[list[tuple[str, Any]]] = []

        def connect(self, host: str, auth: Any) -> None:
            self.asked.append((host, auth))

    manager = ConnectionManager()
    manager.add_conn_hook(Hook())
    provider = OpenIDProvider(issuer=ISSUER, client_id="app", redirect_uri=REDIRECT)
    client = Client(provider, manager=manager)
    with refusal(ConnectFailed, "no_hook_connects"):
        client.begin_login(STATE_KEY)
    assert Hook.asked == [(ISSUER, NO_AUTH)]
    client.close()


@pytest.mark.parametrize("deadline", [0, -1, None, "10", float("nan"), float("inf")])
def test_deadline(monkeypatch: pytest.MonkeyPatch, deadline: Any) -> None:
    """Every step that a user waits for ends (DESIGN, law 8)."""
    make(monkeypatch, deadline=0.5)
    with refusal(ConfigurationError, "deadline_invalid"):
        make(monkeypatch, deadline=deadline)
