"""The resource server against the embedded provider: RFC 9068 and RFC 7662 from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from parts.signing_keys import signing_key
from protocol.expecting import refusal
from tokens import API, SECRET, Issuer, asked, server_of
from tornado.ioloop import IOLoop

from clefstorm import resource_server
from clefstorm.errors import (
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    DocumentViolation,
    ProtocolViolation,
    ProviderError,
    RequestRefused,
    TransportError,
)
from clefstorm.protocol.jwt import build_jwt
from clefstorm.relying_party import Happening
from clefstorm.resource_server import ResourceServer
from clefstorm.testing import Answer, Clock, Provider, TokenDraft

ISSUER = "https://id.example.com"


def draft(**changes: Any) -> Callable[[TokenDraft], None]:
    """A hook that changes the claims of a token before it is signed; None takes one out."""

    def hook(token: TokenDraft) -> None:
        for name, value in changes.items():
            if value is None:
                token.claims.pop(name)
            else:
                token.claims[name] = value

    return hook


async def test_a_signed_token(issuer: Issuer, server: ResourceServer, clock: Clock) -> None:
    """A JWT access token is judged here, by the provider's published keys; nobody is asked."""
    token = await server.check(await issuer.access_token(scope="read write"))
    assert token.iss == issuer.provider.issuer
    assert token.sub == issuer.provider.account("alice").sub
    assert (token.client_id, token.exp) == ("signed", clock() + 3600)
    assert token.scope >= {"read", "write"}
    assert asked(issuer.provider, "/introspect") == 0


async def test_an_opaque_token(issuer: Issuer, server: ResourceServer, clock: Clock) -> None:
    """A token that only its issuer can read is introspected, and means the same."""
    token = await server.check(await issuer.access_token("opaque", scope="read write"))
    assert token.iss == issuer.provider.issuer
    assert token.sub == issuer.provider.account("alice").sub
    assert (token.client_id, token.exp) == ("opaque", clock() + 3600)
    assert token.scope >= {"read", "write"}
    assert asked(issuer.provider, "/introspect") == 1


@pytest.mark.parametrize(
    ("code", "hook"),
    [
        pytest.param("aud_missing_us", draft(aud="https://other.example"), id="aud_differs"),
        pytest.param("iss_mismatch", draft(iss="https://evil.example"), id="iss_differs"),
        pytest.param("claim_missing", draft(client_id=None), id="client_id_missing"),
        pytest.param("claim_missing", draft(jti=None), id="jti_missing"),
        pytest.param("token_bound", draft(cnf={"jkt": "0Zc"}), id="bound"),
        pytest.param("token_expired", draft(exp=1), id="expired"),
        pytest.param(
            "typ_wrong", lambda token: setattr(token, "typ", "logout+jwt"), id="typ_of_another_kind"
        ),
        pytest.param(
            "kid_unknown",
            lambda token: setattr(token, "key", signing_key("RS256", kid="forged")),
            id="key_unknown",
        ),
        pytest.param(
            "signature_invalid",
            lambda token: setattr(
                token, "key", signing_key("RS256", kid=token.key.kid, owner="thief")
            ),
            id="signature_forged",
        ),
        pytest.param(
            "alg_not_allowed",
            lambda token: setattr(token, "key", signing_key("HS256", kid=token.key.kid)),
            id="hmac",
        ),
    ],
)
async def test_signed_tokens_that_are_refused(
    issuer: Issuer, server: ResourceServer, code: str, hook: Callable[[TokenDraft], None]
) -> None:
    """Whatever is wrong with a signed token, it is refused, and its issuer isn't asked either."""
    assert await server.check(await issuer.access_token())
    issuer.provider.tamper["access_token"] = hook
    token = await issuer.access_token()
    with refusal(ProtocolViolation, code):
        await server.check(token)
    assert asked(issuer.provider, "/introspect") == 0


async def test_a_token_for_another_api(issuer: Issuer, server: ResourceServer) -> None:
    """A token of the same issuer for another API is no good here."""
    assert await server.check(await issuer.access_token("signed"))
    with refusal(ProtocolViolation, "aud_missing_us"):
        await server.check(await issuer.access_token("stranger"))


async def test_an_id_token_is_no_access_token(
    issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    """An id token is refused, with and without introspection, even one with our audience."""
    server = server_of(provider, clock)
    alone = server_of(provider, clock, client_id=None, client_secret=None)
    tokens = await issuer.tokens()
    assert await server.check(tokens["access_token"])
    assert await alone.check(tokens["access_token"])
    provider.tamper["id_token"] = draft(aud=[API, "signed"], client_id="app", jti="j")
    dressed_up = (await issuer.tokens())["id_token"]
    for id_token in (tokens["id_token"], dressed_up):
        with refusal(ProtocolViolation, "token_inactive"):
            await server.check(id_token)
        with refusal(ProtocolViolation, "token_not_jwt"):
            await alone.check(id_token)
    await server.close()
    await alone.close()


async def test_a_refresh_token_is_no_access_token(issuer: Issuer, server: ResourceServer) -> None:
    """What the provider does not call an active access token is refused."""
    tokens = await issuer.tokens("opaque")
    assert await server.check(tokens["access_token"])
    with refusal(ProtocolViolation, "token_inactive"):
        await server.check(tokens["refresh_token"])


async def test_algorithms_are_pinned(issuer: Issuer, provider: Provider, clock: Clock) -> None:
    """Only the pinned algorithms count, whatever the provider announces."""
    right = server_of(provider, clock, algorithms=["RS256"])
    wrong = server_of(provider, clock, algorithms=["ES256", "EdDSA"])
    token = await issuer.access_token()
    assert await right.check(token)
    with refusal(ProtocolViolation, "alg_not_allowed"):
        await wrong.check(token)
    await right.close()
    await wrong.close()


async def test_rotated_keys(issuer: Issuer, server: ResourceServer, provider: Provider) -> None:
    """A token signed with a key that is seconds old is good at once."""
    assert await server.check(await issuer.access_token())
    provider.rotate_keys()
    assert await server.check(await issuer.access_token())


@pytest.mark.parametrize(
    "aud", [pytest.param(None, id="absent"), pytest.param("https://other.example", id="differs")]
)
async def test_introspected_aud(
    issuer: Issuer, provider: Provider, server: ResourceServer, clock: Clock, aud: str | None
) -> None:
    """An answer without our audience is refused; without any, an option believes it."""
    assert await server.check(await issuer.access_token("opaque"))
    token = await issuer.access_token("nowhere")
    if aud is not None:
        provider.tamper["introspect"] = lambda answer: {**answer, "aud": aud}
    with refusal(ProtocolViolation, "claim_missing" if aud is None else "aud_missing_us"):
        await server.check(token)
    trusting = server_of(provider, clock, introspection_aud_required=False)
    if aud is None:
        assert (await trusting.check(token)).client_id == "nowhere"
    else:
        with refusal(ProtocolViolation, "aud_missing_us"):
            await trusting.check(token)
    await trusting.close()


async def test_a_yes_is_remembered_for_seconds(
    issuer: Issuer, server: ResourceServer, provider: Provider, clock: Clock
) -> None:
    """Within its seconds a yes is not asked for again; after them a revocation shows."""
    token = await issuer.access_token("opaque")
    await server.check(token)
    provider.grants.revoke_token(token, client_id="opaque")
    clock.advance(9.9)
    assert await server.check(token)
    assert asked(provider, "/introspect") == 1
    clock.advance(0.1)
    with refusal(ProtocolViolation, "token_inactive"):
        await server.check(token)


async def test_a_clock_that_was_set_back(
    issuer: Issuer, server: ResourceServer, provider: Provider, clock: Clock
) -> None:
    """A clock that was set back makes no yes last longer."""
    token = await issuer.access_token("opaque")
    await server.check(token)
    clock.now -= 1
    await server.check(token)
    assert asked(provider, "/introspect") == 2


async def test_no_yes_outlives_its_token(
    issuer: Issuer, server: ResourceServer, provider: Provider, clock: Clock
) -> None:
    """What is remembered ends with the token."""
    provider.tamper["introspect"] = lambda answer: {**answer, "exp": clock() + 3}
    token = await issuer.access_token("opaque")
    await server.check(token)
    clock.advance(2.9)
    await server.check(token)
    assert asked(provider, "/introspect") == 1
    clock.advance(0.1)
    provider.tamper["introspect"] = lambda answer: {"active": False}
    with refusal(ProtocolViolation, "token_inactive"):
        await server.check(token)


async def test_a_no_is_not_remembered(
    issuer: Issuer, server: ResourceServer, provider: Provider
) -> None:
    """A token that was refused may be good a moment later."""
    token = await issuer.access_token("opaque")
    provider.tamper["introspect"] = lambda answer: {"active": False}
    with refusal(ProtocolViolation, "token_inactive"):
        await server.check(token)
    del provider.tamper["introspect"]
    assert await server.check(token)


async def test_nothing_remembered_on_demand(
    issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    """With a lifetime of 0 each request asks."""
    server = server_of(provider, clock, introspection_lifetime=0)
    token = await issuer.access_token("opaque")
    await server.check(token)
    await server.check(token)
    assert asked(provider, "/introspect") == 2
    await server.close()


async def test_memory_is_bounded(
    issuer: Issuer, server: ResourceServer, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more tokens than that the one that was asked longest ago is forgotten."""
    monkeypatch.setattr(resource_server, "MOST_REMEMBERED", 2)
    tokens = [await issuer.access_token("opaque") for _ in range(3)]
    for token in (*tokens, tokens[2], tokens[1]):
        await server.check(token)
    assert asked(provider, "/introspect") == 3
    await server.check(tokens[0])
    assert asked(provider, "/introspect") == 4


async def test_tokens_are_kept_as_hashes(issuer: Issuer, server: ResourceServer) -> None:
    """Whoever sees the memory of the resource server sees no token."""
    token = await issuer.access_token("opaque")
    await server.check(token)
    assert token not in repr(vars(server))
    assert server._remembered
    assert SECRET not in repr(vars(server))


async def test_one_question_for_all(
    issuer: Issuer, server: ResourceServer, provider: Provider
) -> None:
    """Many requests with one token at once ask once; one that leaves takes nothing along."""
    token = await issuer.access_token("opaque")
    gate = asyncio.Event()

    async def wait(answer: dict[str, Any]) -> None:
        await gate.wait()

    provider.tamper["introspect"] = wait
    callers = [asyncio.create_task(server.check(token)) for _ in range(20)]
    while asked(provider, "/introspect") == 0 and not server._asked:
        await asyncio.sleep(0)
    callers[0].cancel()
    gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.sub for answer in answers[1:]} == {provider.account("alice").sub}
    assert asked(provider, "/introspect") == 1


@pytest.fixture
def narrow(
    io_loop: IOLoop, provider: Provider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ResourceServer]]:
    """Makes resource servers that ask one question at a time, and let another wait."""
    monkeypatch.setattr(resource_server, "MOST_ASKED", 1)
    monkeypatch.setattr(resource_server, "MOST_WAITING", 1)
    made: list[ResourceServer] = []

    def make(**options: Any) -> ResourceServer:
        made.append(server_of(provider, clock, **options))
        return made[-1]

    yield make
    for one in made:
        io_loop.run_sync(one.close)


async def test_questions_are_bounded(
    issuer: Issuer, provider: Provider, narrow: Callable[..., ResourceServer]
) -> None:
    """A flood of tokens asks for only so many at once; so many wait, the rest come again."""
    server, gate = narrow(), asyncio.Event()
    under_way: list[Any] = []

    async def wait(answer: dict[str, Any]) -> None:
        under_way.append(answer)
        await gate.wait()

    provider.tamper["introspect"] = wait
    first = asyncio.create_task(server.check(await issuer.access_token("opaque")))
    while not under_way:
        await asyncio.sleep(0)
    second = asyncio.create_task(server.check(await issuer.access_token("opaque")))
    while len(server._asked) < 2:
        await asyncio.sleep(0)
    with refusal(TransportError, "introspection_busy"):
        await server.check("another")
    assert len(under_way) == 1
    gate.set()
    assert (await first).sub == (await second).sub
    assert len(under_way) == 2
    assert not server._asked


async def test_nobody_waits_beyond_the_deadline(
    issuer: Issuer, provider: Provider, narrow: Callable[..., ResourceServer]
) -> None:
    """Who waits for a turn until the deadline is told to come again, and leaves the turn."""
    server = narrow(deadline=0.2)
    token = await issuer.access_token("opaque")
    provider.answer_instead["introspect"] = Answer(hang=True)
    first = asyncio.create_task(server.check("first"))
    while not server._asked:
        await asyncio.sleep(0)
    with refusal(TransportError, "introspection_busy"):
        await server.check("second")
    with pytest.raises(DeadlineExceeded):
        await first
    del provider.answer_instead["introspect"]
    assert await server.check(token)


async def test_no_answer_from_before_is_shared_on_demand(
    issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    """With a lifetime of 0 a request never gets the answer to a question asked before it."""
    server = server_of(provider, clock, introspection_lifetime=0)
    token = await issuer.access_token("opaque")
    gate, held = asyncio.Event(), asyncio.Event()

    async def wait(answer: dict[str, Any]) -> None:
        if not held.is_set():
            held.set()
            await gate.wait()

    provider.tamper["introspect"] = wait
    before = asyncio.create_task(server.check(token))
    await held.wait()
    provider.grants.revoke_token(token, client_id="opaque")
    with refusal(ProtocolViolation, "token_inactive"):
        await server.check(token)
    gate.set()
    assert await before
    assert asked(provider, "/introspect") == 2
    await server.close()


async def test_an_older_question_is_not_shared(
    issuer: Issuer, server: ResourceServer, provider: Provider, clock: Clock
) -> None:
    """A question is shared for as long as its yes would be remembered."""
    token = await issuer.access_token("opaque")
    gate, held = asyncio.Event(), asyncio.Event()

    async def wait(answer: dict[str, Any]) -> None:
        held.set()
        await gate.wait()

    provider.tamper["introspect"] = wait
    callers = [asyncio.create_task(server.check(token))]
    await held.wait()
    for seconds in (9.9, 0.1):
        clock.advance(seconds)
        callers.append(asyncio.create_task(server.check(token)))
        await asyncio.sleep(0)
    assert len(server._tasks) == 2
    gate.set()
    assert len(await asyncio.gather(*callers)) == 3
    assert asked(provider, "/introspect") == 2
    assert not server._asked


async def test_claims_are_each_caller_s_own(
    issuer: Issuer, server: ResourceServer, provider: Provider
) -> None:
    """What a handler does to the claims of a token, the next request does not see."""
    provider.tamper["introspect"] = lambda answer: {**answer, "roles": ["user"]}
    token = await issuer.access_token("opaque")
    for callers in (1, 1, 2):
        for found in await asyncio.gather(*(server.check(token) for _ in range(callers))):
            assert found.claims["roles"] == ["user"]
            found.claims["roles"].append("admin")
    assert asked(provider, "/introspect") == 1


async def test_another_issuer_s_token_is_shown_to_nobody(
    issuer: Issuer, server: ResourceServer
) -> None:
    """A JWT that names another issuer is refused before ours is asked about it."""
    assert await server.check(await issuer.access_token("opaque"))
    key = signing_key("ES256")
    with refusal(ProtocolViolation, "iss_mismatch"):
        await server.check(build_jwt({"iss": "https://another.example"}, key))
    assert asked(issuer.provider, "/introspect") == 1
    with refusal(ProtocolViolation, "token_inactive"):
        await server.check(build_jwt({"iss": issuer.provider.issuer}, key))
    assert asked(issuer.provider, "/introspect") == 2


@pytest.mark.parametrize(
    "said", [{"token_use": "refresh_token"}, {"typ": "Refresh"}, {"typ": "Offline"}]
)
async def test_an_active_refresh_token(
    issuer: Issuer, server: ResourceServer, provider: Provider, said: dict[str, str]
) -> None:
    """A refresh token that the provider calls active is no access token."""
    assert await server.check(await issuer.access_token("opaque"))
    provider.tamper["introspect"] = lambda answer: {**answer, **said}
    with refusal(ProtocolViolation, "token_use_wrong"):
        await server.check(await issuer.access_token("opaque"))


@pytest.mark.parametrize(
    ("error", "endpoint", "answer"),
    [
        pytest.param(DocumentViolation, "discovery", Answer(status=500), id="discovery_broken"),
        pytest.param(DocumentViolation, "jwks", Answer(status=500), id="keys_broken"),
        pytest.param(DocumentViolation, "jwks", Answer(body={"keys": []}), id="no_keys"),
        pytest.param(DeadlineExceeded, "jwks", Answer(hang=True), id="keys_hang"),
    ],
)
async def test_a_signed_token_that_can_not_be_judged(
    issuer: Issuer, provider: Provider, clock: Clock, error: type, endpoint: str, answer: Answer
) -> None:
    """Without the provider's metadata or keys a token is neither good nor bad."""
    server = server_of(provider, clock, deadline=0.2)
    token = await issuer.access_token()
    provider.answer_instead[endpoint] = answer
    with pytest.raises(error):
        await server.check(token)
    del provider.answer_instead[endpoint]
    assert await server.check(token)
    await server.close()


async def test_a_provider_without_keys(
    issuer: Issuer, server: ResourceServer, provider: Provider
) -> None:
    """A provider that publishes no keys is at fault, not the token."""
    token = await issuer.access_token()
    assert await server.check(token)
    other = server_of(provider, provider.clock)
    provider.tamper["discovery"] = lambda document: document.pop("jwks_uri") and None
    with refusal(DocumentViolation, "jwks_uri_missing"):
        await other.check(token)
    await other.close()


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        pytest.param(DocumentViolation, Answer(status=500), id="broken"),
        pytest.param(DocumentViolation, Answer(body="<html>"), id="html"),
        pytest.param(DocumentViolation, Answer(body={"active": "true"}), id="active_text"),
        pytest.param(DeadlineExceeded, Answer(hang=True), id="hangs"),
        pytest.param(TransportError, Answer(body=b" " * 70_000), id="huge"),
    ],
)
async def test_an_opaque_token_that_can_not_be_judged(
    issuer: Issuer, provider: Provider, clock: Clock, error: type, answer: Answer
) -> None:
    """Without a usable answer a token is neither good nor bad, and nothing is remembered."""
    server = server_of(provider, clock, deadline=0.2)
    token = await issuer.access_token("opaque")
    provider.answer_instead["introspect"] = answer
    with pytest.raises(error):
        await server.check(token)
    del provider.answer_instead["introspect"]
    assert await server.check(token)
    await server.close()


async def test_credentials_that_the_provider_refuses(
    issuer: Issuer, server: ResourceServer, provider: Provider, clock: Clock
) -> None:
    """A wrong client_secret of ours is no word about the token."""
    token = await issuer.access_token("opaque")
    assert await server.check(token)
    wrong = server_of(provider, clock, client_secret="wrong")
    with refusal(ProviderError, "introspection_refused"):
        await wrong.check(token)
    await wrong.close()


async def test_a_provider_without_introspection(
    issuer: Issuer, provider: Provider, clock: Clock, server: ResourceServer
) -> None:
    """Credentials for an endpoint that does not exist are a mistake of ours, and said so."""
    token = await issuer.access_token("opaque")
    assert await server.check(token)
    other = server_of(provider, clock)
    provider.tamper["discovery"] = lambda d: d.pop("introspection_endpoint") and None
    with refusal(ConfigurationError, "introspection_unsupported"):
        await other.check(token)
    await other.close()


@pytest.mark.parametrize("token", ["", "a b", "a\r\nb", "\ud800", "a" * 70_000])
async def test_what_is_no_token(server: ResourceServer, issuer: Issuer, token: str) -> None:
    """What no header could carry is refused before anybody is asked."""
    assert await server.check(await issuer.access_token())
    with pytest.raises(RequestRefused):
        await server.check(token)
    assert asked(issuer.provider, "/introspect") == 0


async def test_refusals_are_recorded(
    issuer: Issuer, server: ResourceServer, happenings: list[Happening], clock: Clock
) -> None:
    """Each refusal is told with its code, and never with the token."""
    await server.check(await issuer.access_token())
    assert happenings == []
    token = await issuer.access_token("stranger")
    with pytest.raises(ProtocolViolation):
        await server.check(token)
    issuer.provider.answer_instead["introspect"] = Answer(status=500)
    with pytest.raises(DocumentViolation):
        await server.check("opaque-and-unknown")
    assert [(one.event, one.facts) for one in happenings] == [
        ("bearer_refused", {"code": "aud_missing_us"}),
        ("bearer_not_judged", {"code": "introspection_status"}),
    ]
    assert happenings[0].at == clock()


async def test_closed(issuer: Issuer, server: ResourceServer) -> None:
    """After close nothing more is asked."""
    token = await issuer.access_token("opaque")
    await server.check(token)
    await server.close()
    with refusal(ConnectFailed, "connection_closed"):
        await server.check("another")


async def test_closed_while_asking(
    issuer: Issuer, server: ResourceServer, provider: Provider
) -> None:
    """A question under way fails at close, and nothing is left behind."""
    assert await server.check(await issuer.access_token("opaque"))
    provider.answer_instead["introspect"] = Answer(hang=True)
    waiting = asyncio.create_task(server.check("another"))
    while asked(provider, "/introspect") == 0 or not server._asked:
        await asyncio.sleep(0)
    await server.close()
    with pytest.raises(ConnectFailed):
        await waiting
    assert not server._asked


@pytest.mark.parametrize(
    ("code", "options"),
    [
        pytest.param("issuer_invalid", {"issuer": "id.example.com"}, id="issuer"),
        pytest.param("audience_invalid", {"audience": ""}, id="no_audience"),
        pytest.param("audience_invalid", {"audience": ["a"]}, id="audience_list"),
        pytest.param("alg_unknown", {"algorithms": ["HS256"]}, id="hmac"),
        pytest.param("alg_unknown", {"algorithms": ["none"]}, id="none"),
        pytest.param("alg_unknown", {"algorithms": []}, id="no_algorithms"),
        pytest.param("alg_unknown", {"algorithms": "RS256"}, id="algorithms_text"),
        pytest.param("introspection_credentials", {"client_id": "a"}, id="no_secret"),
        pytest.param("introspection_credentials", {"client_secret": "s"}, id="no_client_id"),
        pytest.param(
            "client_id_invalid", {"client_id": "", "client_secret": "s"}, id="client_id_empty"
        ),
        pytest.param(
            "client_secret_invalid", {"client_id": "a", "client_secret": ""}, id="secret_empty"
        ),
        pytest.param(
            "client_secret_invalid", {"client_id": "a", "client_secret": "s\n"}, id="secret_line"
        ),
        pytest.param(
            "introspection_lifetime_invalid", {"introspection_lifetime": 301}, id="long_memory"
        ),
        pytest.param(
            "introspection_lifetime_invalid", {"introspection_lifetime": -1}, id="negative_memory"
        ),
        pytest.param("challenge_invalid", {"realm": "a\r\nb"}, id="realm"),
        pytest.param("leeway_invalid", {"leeway": 601}, id="leeway"),
        pytest.param("deadline_invalid", {"deadline": 0}, id="deadline"),
    ],
)
def test_options_that_can_not_be_meant(code: str, options: dict[str, Any]) -> None:
    """A mistake shows when the resource server is made."""
    good: dict[str, Any] = {"issuer": ISSUER, "audience": API}
    assert repr(ResourceServer(**good)) == f"<ResourceServer {API} of {ISSUER}>"
    with refusal(ConfigurationError, code):
        ResourceServer(**good | options)


async def test_a_loop_that_ends(issuer: Issuer, server: ResourceServer, provider: Provider) -> None:
    """When the loop cancels everything, a question ends quietly like its callers."""
    assert await server.check(await issuer.access_token("opaque"))
    provider.answer_instead["introspect"] = Answer(hang=True)
    waiting = asyncio.create_task(server.check("another"))
    while not server._asked:
        await asyncio.sleep(0)
    for task in server._tasks:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not server._asked
