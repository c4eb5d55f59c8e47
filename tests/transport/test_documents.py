"""How long discovery documents and key sets are kept, and what fetches them again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from clefstorm.errors import (
    ClefStormError,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    DocumentViolation,
    ProtocolViolation,
)
from clefstorm.keys import generate_key
from clefstorm.protocol.exchange import Request, Response
from clefstorm.transport import DocumentCache
from clefstorm.transport.documents import MOST_DOCUMENTS, MOST_MISSED

ISSUER = "https://id.example.com"
JWKS = ISSUER + "/jwks"
JWK = generate_key("ES256").to_jwk()
DAY = 86400.0


def metadata(issuer: str = ISSUER, **headers: str) -> Response:
    document = {
        "issuer": issuer,
        "authorization_endpoint": issuer + "/auth",
        "token_endpoint": issuer + "/token",
    }
    return Response(status=200, headers=headers, body=json.dumps(document).encode())


def keys(*kids: str, **headers: str) -> Response:
    document = {"keys": [{**JWK, "kid": kid} for kid in kids]}
    return Response(status=200, headers=headers, body=json.dumps(document).encode())


class Provider:
    """What a cache fetches from: says ``answer``, once ``gate`` is open; ``now`` is the clock."""

    def __init__(self, answer: Response | Exception) -> None:
        self.answer = answer
        self.fetched: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.given_up = 0
        self.now = 1_000_000.0

    async def send(self, request: Request) -> Response:
        self.fetched.append(request.url)
        # What is said is decided when the request arrives, as on the far side of a slow network.
        answer = self.answer
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            # Closing a connection takes some turns of the loop.
            await settle()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cache(self, **options: Any) -> DocumentCache:
        return DocumentCache(self.send, clock=lambda: self.now, **options)


async def settle() -> None:
    """Let every task run as far as it comes."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_metadata_is_fetched_once_a_lifetime() -> None:
    """Within its lifetime a document is not fetched again; at its end it is."""
    provider = Provider(metadata())
    cache = provider.cache(lifetime=100)
    first = await cache.metadata(ISSUER)
    assert first.token_endpoint == ISSUER + "/token"
    provider.now += 99
    assert await cache.metadata(ISSUER) is first
    assert provider.fetched == [ISSUER + "/.well-known/openid-configuration"]
    provider.now += 1
    assert await cache.metadata(ISSUER) is not first
    assert len(provider.fetched) == 2


@pytest.mark.parametrize(
    ("cache_control", "life"),
    [
        pytest.param(None, 3600, id="not_said"),
        pytest.param("public", 3600, id="said_otherwise"),
        pytest.param("max-age=7200", 7200, id="max_age"),
        pytest.param('public, Max-Age = "900", must-revalidate', 900, id="among_others"),
        pytest.param("s-maxage=7200", 3600, id="for_shared_caches"),
        pytest.param("max-age=0", 300, id="too_short"),
        pytest.param("max-age=999999999999999999999", 86400, id="too_long"),
        pytest.param("max-age=-5", 3600, id="nonsense"),
        pytest.param("no-store", 300, id="no_store"),
        pytest.param("no-cache, max-age=7200", 300, id="no_cache"),
    ],
)
async def test_max_age_is_held_within_bounds(cache_control: str | None, life: float) -> None:
    """Cache-Control says how long an answer is fresh, between five minutes and a day."""
    headers = {} if cache_control is None else {"cache-control": cache_control}
    provider = Provider(keys("a", **headers))
    cache = provider.cache()
    await cache.keys(JWKS, "a")
    provider.now += life - 1
    await cache.keys(JWKS, "a")
    assert len(provider.fetched) == 1
    provider.now += 1
    await cache.keys(JWKS, "a")
    assert len(provider.fetched) == 2


async def test_one_fetch_for_all_who_wait() -> None:
    """However many ask at a time, one fetch is under way for each document."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    provider.gate.clear()
    asking = [asyncio.ensure_future(cache.keys(JWKS, "a")) for _ in range(50)]
    await settle()
    provider.gate.set()
    assert len({id(found) for found in await asyncio.gather(*asking)}) == 1
    assert provider.fetched == [JWKS]


async def test_a_cancelled_asker_does_not_take_the_fetch_from_the_others() -> None:
    """The first asker, whose question began the fetch, may go; the fetch goes on for the rest."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    provider.gate.clear()
    first, second = (asyncio.ensure_future(cache.keys(JWKS, "a")) for _ in range(2))
    await settle()
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    provider.gate.set()
    assert (await second).knows("a")
    assert (len(provider.fetched), provider.given_up) == (1, 0)


async def test_a_fetch_for_nobody_is_given_up() -> None:
    """When all who waited have gone, nothing is left running, and the next one starts anew."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    before = asyncio.all_tasks()
    provider.gate.clear()
    asking = [asyncio.ensure_future(cache.keys(JWKS, "a")) for _ in range(2)]
    await settle()
    for asker in asking:
        asker.cancel()
    # This one comes while the fetch of the two is being given up.
    third = asyncio.ensure_future(cache.keys(JWKS, "a"))
    await asyncio.wait(asking)
    await settle()
    assert provider.given_up == 1
    fourth = asyncio.ensure_future(cache.keys(JWKS, "a"))
    await settle()
    provider.gate.set()
    assert (await third).knows("a")
    assert (await fourth).knows("a")
    assert len(provider.fetched) == 2
    assert asyncio.all_tasks() == before


async def test_a_cancelled_asker_returns_when_its_fetch_has_ended() -> None:
    """Nothing that a cancelled call began outlives it by a single turn of the loop."""
    provider = Provider(keys("a"))
    before = asyncio.all_tasks()
    provider.gate.clear()
    asker = asyncio.ensure_future(provider.cache().keys(JWKS, "a"))
    await settle()
    asker.cancel()
    await asyncio.wait({asker})
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        pytest.param(ConnectFailed("no"), "connect_failed", id="unreachable"),
        pytest.param(Response(status=500), "jwks_status", id="status"),
        pytest.param(Response(status=302), "jwks_status", id="redirect"),
        pytest.param(Response(status=200, body=b"<html>"), "json_invalid", id="rubbish"),
        pytest.param(keys(), "jwks_no_usable_key", id="no_usable_key"),
    ],
)
async def test_failures_are_not_kept(bad: Response | Exception, code: str) -> None:
    """Whoever waited for a failed fetch hears of it; the next one asks again, and is served."""
    provider = Provider(bad)
    cache = provider.cache()
    asking = [cache.keys(JWKS, "a") for _ in range(3)]
    for outcome in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(outcome, ClefStormError)
        assert outcome.code == code
    provider.answer = keys("a")
    assert (await cache.keys(JWKS, "a")).knows("a")
    assert len(provider.fetched) == 2


async def test_metadata_of_another_issuer_is_not_kept() -> None:
    """A document that is not the issuer's own is refused, and not kept."""
    provider = Provider(metadata("https://evil.example"))
    cache = provider.cache()
    with pytest.raises(ProtocolViolation) as caught:
        await cache.metadata(ISSUER)
    assert caught.value.code == "metadata_issuer_mismatch"
    provider.answer = metadata()
    assert (await cache.metadata(ISSUER)).issuer == ISSUER


@pytest.mark.parametrize("bad", [DeadlineExceeded("slow"), Response(status=503), keys()])
async def test_the_old_one_serves_while_no_new_one_can_be_had(
    bad: Response | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A document past its life is used for a day more, and asked for twice a minute."""
    provider = Provider(keys("a"))
    cache = provider.cache(lifetime=100)
    await cache.keys(JWKS, "a")
    provider.answer = bad
    provider.now += 100
    for _ in range(3):
        assert (await cache.keys(JWKS, "a")).knows("a")
    assert len(provider.fetched) == 2
    assert len(caplog.records) == 1
    provider.now += 30
    assert (await cache.keys(JWKS, "a")).knows("a")
    assert len(provider.fetched) == 3
    provider.now += DAY - 30 - 1
    assert (await cache.keys(JWKS, "a")).knows("a")
    provider.now += 1
    with pytest.raises(ClefStormError):
        await cache.keys(JWKS, "a")
    provider.answer = keys("b")
    assert not (await cache.keys(JWKS, "b")).knows("a")


async def test_an_unfamiliar_kid_is_looked_for_at_once() -> None:
    """A key that the set doesn't know is fetched at once (Core 1.0, 10.1.1)."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    await cache.keys(JWKS, "a")
    provider.answer = keys("b")
    assert (await cache.keys(JWKS, "b")).knows("b")
    assert len(provider.fetched) == 2


async def test_no_kid_is_never_unfamiliar() -> None:
    """A token that names no key is not a reason to fetch."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    for _ in range(3):
        await cache.keys(JWKS, None)
    assert len(provider.fetched) == 1


async def test_what_the_provider_gave_us_is_always_looked_for() -> None:
    """After any burst of forged kids, a kid of first hand is fetched for at once, and once."""
    provider = Provider(keys("old"))
    cache = provider.cache(burst=2)
    for number in range(10):
        await cache.keys(JWKS, f"forged{number}")
    assert len(provider.fetched) == 3
    provider.answer = keys("new")
    assert not (await cache.keys(JWKS, "new")).knows("new")
    assert (await cache.keys(JWKS, "new", first_hand=True)).knows("new")
    assert len(provider.fetched) == 4
    assert not (await cache.keys(JWKS, "never", first_hand=True)).knows("never")
    assert len(provider.fetched) == 5


async def test_keys_instead_of_others() -> None:
    """Without a kid a set that did not do is replaced by a newer one, as long as tokens last; what
    another fetch has replaced already costs none."""
    provider = Provider(keys("old"))
    cache = provider.cache(burst=2)
    old = await cache.keys(JWKS, None)
    assert await cache.keys(JWKS, None) is old
    new = await cache.keys(JWKS, None, instead_of=old)
    assert new is not old
    assert await cache.keys(JWKS, None, instead_of=old) is new
    assert len(provider.fetched) == 2
    newest = await cache.keys(JWKS, None, instead_of=new)
    assert len(provider.fetched) == 3
    assert await cache.keys(JWKS, None, instead_of=newest) is newest
    assert len(provider.fetched) == 3
    assert await cache.keys(JWKS, None, first_hand=True, instead_of=newest) is not newest
    assert len(provider.fetched) == 4


async def test_keys_instead_of_others_that_can_not_be_had() -> None:
    """Nobody can say that a signature is wrong while newer keys can't be had."""
    provider = Provider(keys("old"))
    cache = provider.cache()
    old = await cache.keys(JWKS, None)
    provider.answer = Response(status=500)
    with pytest.raises(DocumentViolation) as failed:
        await cache.keys(JWKS, None, instead_of=old)
    assert failed.value.code == "jwks_status"
    assert await cache.keys(JWKS, None) is old


async def test_the_first_fetch_spends_nothing() -> None:
    """The fetch that fills the cache leaves the whole burst, even when the kid is not in it."""
    provider = Provider(keys("a"))
    cache = provider.cache(burst=2)
    await cache.keys(JWKS, "forged-0")
    assert len(provider.fetched) == 1
    for number in range(1, 10):
        assert not (await cache.keys(JWKS, f"forged-{number}")).knows(f"forged-{number}")
    assert len(provider.fetched) == 1 + 2


async def test_burst_0_waits_for_the_set_to_age() -> None:
    """Without a burst a set is fetched again when it is five seconds old, not before."""
    provider = Provider(keys("a"))
    cache = provider.cache(burst=0)
    await cache.keys(JWKS, "a")
    provider.answer = keys("b")
    provider.now += 4.9
    assert not (await cache.keys(JWKS, "b")).knows("b")
    provider.now += 0.1
    assert (await cache.keys(JWKS, "b")).knows("b")


async def test_a_rotated_key_after_a_burst_of_forged_ones() -> None:
    """Forged kids can spend the burst, but hide a rotated key for five seconds at most."""
    provider = Provider(keys("a"))
    cache = provider.cache(burst=5)
    await cache.keys(JWKS, "a")
    for number in range(100):
        await cache.keys(JWKS, f"forged-{number}")
    assert len(provider.fetched) == 1 + 5
    provider.answer = keys("a", "b")
    assert not (await cache.keys(JWKS, "b")).knows("b")
    provider.now += 5
    assert (await cache.keys(JWKS, "b")).knows("b")
    assert len(provider.fetched) == 1 + 5 + 1


async def test_a_flood_hides_no_key_and_costs_little() -> None:
    """Under an endless flood a key published 5 s before its use is known; fetches are bounded."""
    provider = Provider(keys("key-0"))
    cache = provider.cache(burst=5)
    await cache.keys(JWKS, "key-0")
    started = provider.now
    published = 0.0
    for tick in range(6000):
        provider.now = started + tick / 10
        if tick % 700 == 650:
            published = provider.now
            provider.answer = keys(f"key-{tick}")
            fresh = f"key-{tick}"
        if published and provider.now >= published + 5:
            assert (await cache.keys(JWKS, fresh)).knows(fresh)
            published = 0.0
        await cache.keys(JWKS, f"forged-{tick}")
    assert len(provider.fetched) <= 1 + 10 * (5 + 12)


async def test_the_bucket_refills_in_a_minute() -> None:
    """After a quiet minute the whole burst is there again, and no more than that."""
    provider = Provider(keys("a"))
    cache = provider.cache(burst=3)
    await cache.keys(JWKS, "a")
    for round_ in range(3):
        before = len(provider.fetched)
        for number in range(10):
            await cache.keys(JWKS, f"forged-{round_}-{number}")
        # After the quiet the set is old, so one fetch more is free.
        assert len(provider.fetched) - before == 3 + (round_ > 0)
        provider.now += 60 * (1 + round_)


async def test_a_forged_kid_spends_one_token() -> None:
    """The same kid, looked for in vain, spends nothing more within a minute."""
    provider = Provider(keys("a"))
    cache = provider.cache(burst=2)
    await cache.keys(JWKS, "a")
    for _ in range(10):
        await cache.keys(JWKS, "forged")
    assert len(provider.fetched) == 1 + 1
    provider.answer = keys("b")
    assert (await cache.keys(JWKS, "b")).knows("b")


async def test_the_memory_of_forged_kids_is_bounded() -> None:
    """Kids that were not found are forgotten, oldest first, and none is kept as it came."""
    provider = Provider(keys("a"))
    cache = provider.cache(burst=10_000)
    await cache.keys(JWKS, "a")
    await cache.keys(JWKS, "forged")
    for number in range(MOST_MISSED):
        await cache.keys(JWKS, f"{number}" * 10_000)
    before = len(provider.fetched)
    await cache.keys(JWKS, f"{MOST_MISSED - 1}" * 10_000)
    assert len(provider.fetched) == before
    await cache.keys(JWKS, "forged")
    assert len(provider.fetched) == before + 1


async def test_a_kid_that_is_published_late_is_found() -> None:
    """A kid that was looked for too early is found as soon as the set is five seconds old."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    await cache.keys(JWKS, "a")
    await cache.keys(JWKS, "b")
    provider.answer = keys("a", "b")
    provider.now += 5
    assert (await cache.keys(JWKS, "b")).knows("b")


async def test_a_fetch_that_began_too_early_is_no_answer() -> None:
    """A fetch under way may have read the set before the rotation: then another one is made."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    provider.gate.clear()
    early = asyncio.ensure_future(cache.keys(JWKS, "a"))
    await settle()
    provider.answer = keys("b")
    late = [asyncio.ensure_future(cache.keys(JWKS, "b")) for _ in range(20)]
    await settle()
    assert len(provider.fetched) == 1
    provider.gate.set()
    assert (await early).knows("a")
    assert all(found.knows("b") for found in await asyncio.gather(*late))
    assert len(provider.fetched) == 2


async def test_many_forged_kids_at_once_share_a_fetch() -> None:
    """A hundred unfamiliar kids in one moment are one question."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    await cache.keys(JWKS, "a")
    await asyncio.gather(*(cache.keys(JWKS, f"forged-{number}") for number in range(100)))
    assert len(provider.fetched) <= 1 + 2


@pytest.mark.parametrize("bad", [ConnectFailed("no"), Response(status=500), keys()])
async def test_a_failed_look_for_a_kid_keeps_the_set(bad: Response | Exception) -> None:
    """When the fetch for an unfamiliar kid fails, the set that we have serves on for its own
    kids; that the other one is unknown is not said, for nobody knows it."""
    provider = Provider(keys("a"))
    cache = provider.cache()
    await cache.keys(JWKS, "a")
    provider.answer = bad
    for _ in range(2):  # the second one asks nobody: a look has just failed
        with pytest.raises((ConnectFailed, DocumentViolation)):
            await cache.keys(JWKS, "b")
    assert (await cache.keys(JWKS, "a")).knows("a")
    provider.answer = keys("b")
    provider.now += 5
    assert (await cache.keys(JWKS, "b")).knows("b")


async def test_a_clock_that_was_set_back_hides_nothing() -> None:
    """A set that seems to come from the future is fetched for an unfamiliar kid."""
    provider = Provider(keys("a"))
    cache = provider.cache(burst=0)
    await cache.keys(JWKS, "a")
    provider.answer = keys("b")
    provider.now -= 1000
    assert (await cache.keys(JWKS, "b")).knows("b")


@pytest.mark.parametrize("kind", ["metadata", "keys"])
async def test_the_number_of_documents_is_bounded(kind: str) -> None:
    """Beyond the bound the document that was wanted longest ago is dropped."""
    provider = Provider(keys("a"))
    cache = provider.cache()

    async def want(number: int) -> None:
        issuer = f"https://id.example.com/{number}"
        provider.answer = keys("a") if kind == "keys" else metadata(issuer)
        await (cache.keys(issuer, "a") if kind == "keys" else cache.metadata(issuer))

    for number in range(MOST_DOCUMENTS):
        await want(number)
    await want(0)
    await want(MOST_DOCUMENTS)
    assert len(provider.fetched) == MOST_DOCUMENTS + 1
    await want(0)
    assert len(provider.fetched) == MOST_DOCUMENTS + 1
    await want(1)
    assert len(provider.fetched) == MOST_DOCUMENTS + 2


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"lifetime": 0}, id="no_lifetime"),
        pytest.param({"burst": -1}, id="negative_burst"),
    ],
)
def test_settings(wrong: dict[str, Any]) -> None:
    """Settings that can't serve are refused when they are made."""

    async def send(_request: Request) -> Response:
        raise AssertionError

    make: Callable[..., DocumentCache] = DocumentCache
    make(send, lifetime=1, burst=0)
    with pytest.raises(ConfigurationError):
        make(send, **wrong)
