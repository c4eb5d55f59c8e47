"""The embedded provider's safe forms: client assertions, pushed requests, encrypted answers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt
import pytest
from joserfc import jwe, jwk
from protocol.expecting import refusal
from stand_in import SECRET, StandIn, basic, error_of

from clefstorm.errors import ConfigurationError
from clefstorm.jwe import generate_decryption_key
from clefstorm.keys import HS256Key, Key, generate_key
from clefstorm.testing import Browser, Clock, Provider

KEY = generate_key("ES256", kid="ours")
OTHER = generate_key("ES256", kid="ours")
RSA = generate_key("RS256", kid="rsa")
JWKS = {"keys": [KEY.to_jwk(), RSA.to_jwk()]}
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ENCRYPTED = generate_decryption_key("ECDH-ES", kid="to-us")


def assertion(stand_in: StandIn, now: float, key: Key = KEY, **changes: Any) -> str:
    """An assertion made by somebody else's library; a claim that is changed to None is left out."""
    claims = {
        "iss": "app",
        "sub": "app",
        "aud": stand_in.provider.issuer,
        "jti": "1",
        "iat": now,
        "exp": now + 60,
        **changes,
    }
    typ = claims.pop("typ", "client-authentication+jwt")
    named = {name: value for name, value in claims.items() if value is not None}
    material = key.verifying_material() if isinstance(key, HS256Key) else key.to_pem()
    return jwt.encode(named, material, key.alg, {"kid": key.kid, "typ": typ})


async def redeem(stand_in: StandIn, browser: Browser, token: str, **changes: str | None) -> Any:
    fields = {"client_assertion": token, "client_assertion_type": TYPE, **changes}
    return await stand_in.redeem(await stand_in.code(browser), headers={}, **fields)


def by_private_key(stand_in: StandIn, **changes: Any) -> None:
    options = {"client_secret": None, "jwks": JWKS, **changes}
    stand_in.register("app", token_endpoint_auth_method="private_key_jwt", **options)


# -- assertions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        pytest.param(KEY, {}, id="as_it_should_be"),
        pytest.param(RSA, {}, id="another_key_of_its_jwks"),
        pytest.param(KEY, {"aud": "TOKEN"}, id="token_endpoint"),
        pytest.param(KEY, {"typ": "JWT"}, id="typ_jwt"),
    ],
)
async def test_private_key_jwt(
    browser: Browser, clock: Clock, stand_in: StandIn, key: Key, changes: dict[str, Any]
) -> None:
    """An assertion that the registered key signed proves the client (RFC 7523, 3)."""
    if changes.get("aud") == "TOKEN":
        changes = {"aud": f"{stand_in.provider.issuer}/token"}
    by_private_key(stand_in)
    response = await redeem(stand_in, browser, assertion(stand_in, clock(), key, **changes))
    assert response.code == 200, response.body


@pytest.mark.parametrize("alg", [None, "HS256"])
async def test_client_secret_jwt(
    browser: Browser, clock: Clock, stand_in: StandIn, alg: str | None
) -> None:
    """An assertion that the secret signed (Core 1.0, 9)."""
    stand_in.register(
        "app",
        token_endpoint_auth_method="client_secret_jwt",
        token_endpoint_auth_signing_alg=alg,
    )
    token = assertion(stand_in, clock(), HS256Key(SECRET, kid="secret"))
    assert (await redeem(stand_in, browser, token)).code == 200


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"key": OTHER}, id="another_key_of_that_kid"),
        pytest.param({"key": HS256Key(SECRET, kid="secret")}, id="by_a_secret"),
        pytest.param({"iss": "other"}, id="iss"),
        pytest.param({"sub": "other"}, id="sub"),
        pytest.param({"sub": None}, id="sub_missing"),
        pytest.param({"aud": "https://b.example"}, id="aud"),
        pytest.param({"aud": None}, id="aud_missing"),
        pytest.param({"aud": ["ISSUER", "https://b.example"]}, id="aud_two"),
        pytest.param({"jti": None}, id="jti_missing"),
        pytest.param({"exp": None}, id="exp_missing"),
        pytest.param({"exp": -31.0}, id="expired"),
        pytest.param({"exp": 3600.0}, id="long_lived"),
        pytest.param({"iat": 31.0}, id="from_the_future"),
        pytest.param({"typ": "at+jwt"}, id="another_kind_of_token"),
    ],
)
async def test_bad_assertions(
    browser: Browser, clock: Clock, stand_in: StandIn, changes: dict[str, Any]
) -> None:
    """Each rule of RFC 7523, section 3, and of draft-ietf-oauth-rfc7523bis, section 4."""
    by_private_key(stand_in)
    good = assertion(stand_in, clock(), jti="first")
    assert (await redeem(stand_in, browser, good)).code == 200
    for name in ("exp", "iat"):
        if changes.get(name) is not None:
            changes = {**changes, name: clock() + changes[name]}
    if isinstance(changes.get("aud"), list):
        changes = {"aud": [stand_in.provider.issuer, "https://b.example"]}
    response = await redeem(stand_in, browser, assertion(stand_in, clock(), **changes))
    assert (response.code, error_of(response)) == (401, "invalid_client")


async def test_an_assertion_is_taken_once(
    browser: Browser, clock: Clock, stand_in: StandIn
) -> None:
    """The same jti again is refused as long as it could be good (RFC 7523, 3, point 7)."""
    by_private_key(stand_in)
    token = assertion(stand_in, clock())
    assert (await redeem(stand_in, browser, token)).code == 200
    again = await redeem(stand_in, browser, token)
    assert (again.code, error_of(again)) == (401, "invalid_client")
    clock.advance(60 + 30 + 1)
    assert (await redeem(stand_in, browser, assertion(stand_in, clock()))).code == 200


async def test_pinned_alg(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """token_endpoint_auth_signing_alg is the only one then (Registration 1.0, 2)."""
    by_private_key(stand_in, token_endpoint_auth_signing_alg="RS256")
    assert (await redeem(stand_in, browser, assertion(stand_in, clock(), RSA))).code == 200
    assert (await redeem(stand_in, browser, assertion(stand_in, clock(), jti="2"))).code == 401


@pytest.mark.parametrize(
    ("fields", "headers", "outcome"),
    [
        pytest.param({"client_assertion_type": None}, {}, (400, "invalid_request"), id="no_type"),
        pytest.param({"client_assertion_type": "x"}, {}, (400, "invalid_request"), id="type"),
        pytest.param({"client_assertion": "x"}, {}, (401, "invalid_client"), id="no_token"),
        pytest.param({"client_id": "other"}, {}, (400, "invalid_request"), id="client_id"),
        pytest.param({"client_secret": "x"}, {}, (400, "invalid_request"), id="and_a_secret"),
        pytest.param({}, basic("app", SECRET), (400, "invalid_request"), id="and_basic"),
        pytest.param({"client_assertion": None}, {}, (401, "invalid_client"), id="nothing"),
        pytest.param(
            {"client_assertion": None},
            basic("app", SECRET),
            (401, "invalid_client"),
            id="basic_instead",
        ),
    ],
)
async def test_forms_of_an_assertion(
    browser: Browser,
    clock: Clock,
    stand_in: StandIn,
    fields: dict[str, str | None],
    headers: dict[str, str],
    outcome: tuple[int, str],
) -> None:
    """One way, and all of it (RFC 7521, 4.2; RFC 6749, 2.3)."""
    by_private_key(stand_in, client_secret=SECRET)
    sent = {"client_assertion": assertion(stand_in, clock()), "client_assertion_type": TYPE}
    code = await stand_in.code(browser)
    response = await stand_in.redeem(code, headers=headers, **{**sent, **fields})
    assert (response.code, error_of(response)) == outcome


# -- pushed requests ---------------------------------------------------------------------------


@pytest.fixture
def pushing(stand_in: StandIn) -> StandIn:
    """An application whose provider offers pushed requests."""
    stand_in.provider.pushed_authorization_requests = True
    return stand_in


def request_of(stand_in: StandIn, **changes: str | None) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(stand_in.authorization(**changes)).query))


async def push(stand_in: StandIn, headers: dict[str, str] | None = None, **changes: Any) -> Any:
    sent = basic("app", SECRET) if headers is None else headers
    return await stand_in.post("/par", request_of(stand_in, **changes), sent)


def url_of(stand_in: StandIn, request_uri: str, client_id: str = "app", **more: str) -> str:
    query = urlencode({"client_id": client_id, "request_uri": request_uri, **more})
    return f"{stand_in.provider.issuer}/authorize?{query}"


async def pushed(stand_in: StandIn, **changes: Any) -> str:
    response = await push(stand_in, **changes)
    assert response.code == 201, response.body
    answer = json.loads(response.body)
    assert answer["expires_in"] == 60
    return str(answer["request_uri"])


async def test_discovery_says_so(pushing: StandIn) -> None:
    """Offered and required stand in the metadata, and neither unless it was asked for."""

    async def said() -> Any:
        url = f"{pushing.provider.issuer}/.well-known/openid-configuration"
        return json.loads((await pushing.http.fetch(url)).body)

    document = await said()
    assert document["pushed_authorization_request_endpoint"] == f"{pushing.provider.issuer}/par"
    assert document["require_pushed_authorization_requests"] is False
    pushing.provider.require_pushed_authorization_requests = True
    assert (await said())["require_pushed_authorization_requests"] is True
    pushing.provider.pushed_authorization_requests = False
    assert "pushed_authorization_request_endpoint" not in await said()


async def test_a_pushed_request(browser: Browser, pushing: StandIn) -> None:
    """The parameters are those that were pushed; what else the browser brings is not looked at
    (RFC 9126, 4).
    """
    request_uri = await pushed(pushing, state="pushed")
    url = url_of(pushing, request_uri, state="forged", redirect_uri="http://evil.example/")
    page = await browser.sign_in(pushing.provider, "alice", url)
    assert pushing.answers[-1]["state"] == "pushed"
    assert page.url.startswith(pushing.callback)
    response = await pushing.redeem(pushing.answers[-1]["code"])
    assert response.code == 200


async def test_used_once(browser: Browser, pushing: StandIn) -> None:
    """After the answer the name leads nowhere (RFC 9126, 7.3)."""
    url = url_of(pushing, await pushed(pushing))
    await browser.sign_in(pushing.provider, "alice", url)
    page = await browser.get(url)
    assert (page.status, "invalid_request_uri" in page.text) == (400, True)


async def test_reloaded_before_the_answer(browser: Browser, pushing: StandIn) -> None:
    """A user may load the sign-in page again (RFC 9126, 4)."""
    url = url_of(pushing, await pushed(pushing))
    assert (await browser.get(url)).status == 200
    await browser.sign_in(pushing.provider, "alice", url)
    assert "code" in pushing.answers[-1]


async def test_short_lived(browser: Browser, clock: Clock, pushing: StandIn) -> None:
    """A minute to arrive; who has arrived may take ten to sign in."""
    late = await pushed(pushing)
    arrived = await pushed(pushing)
    clock.advance(59)
    assert (await browser.get(url_of(pushing, arrived))).status == 200
    clock.advance(1)
    assert (await browser.get(url_of(pushing, late))).status == 400
    assert (await browser.get(url_of(pushing, arrived))).status == 200
    clock.advance(540)
    assert (await browser.get(url_of(pushing, arrived))).status == 400


async def test_bound_to_its_client(browser: Browser, pushing: StandIn) -> None:
    """Another client can't use it (RFC 9126, 2.2)."""
    pushing.register("other")
    request_uri = await pushed(pushing)
    assert (await browser.get(url_of(pushing, request_uri, "other"))).status == 400
    assert (await browser.get(url_of(pushing, request_uri))).status == 200


@pytest.mark.parametrize("required_by", ["client", "provider"])
async def test_required(browser: Browser, pushing: StandIn, required_by: str) -> None:
    """Where requests have to be pushed, others are refused (RFC 9126, 5 and 6)."""
    if required_by == "client":
        pushing.register("app", require_pushed_authorization_requests=True)
    else:
        pushing.provider.require_pushed_authorization_requests = True
    await browser.get(pushing.authorization())
    assert pushing.answers[-1]["error"] == "invalid_request"
    await browser.sign_in(pushing.provider, "alice", url_of(pushing, await pushed(pushing)))
    assert "code" in pushing.answers[-1]


async def test_not_offered(browser: Browser, stand_in: StandIn) -> None:
    """A provider that doesn't offer it takes no push, and knows no request_uri."""
    assert error_of(await push(stand_in)) == "invalid_request"
    await browser.get(stand_in.authorization(request_uri="urn:x"))
    assert stand_in.answers[-1]["error"] == "request_uri_not_supported"


@pytest.mark.parametrize(
    ("changes", "headers", "outcome"),
    [
        pytest.param({}, {}, (401, "invalid_client"), id="nobody"),
        pytest.param({}, basic("app", "x"), (401, "invalid_client"), id="wrong_secret"),
        pytest.param({"client_id": None}, None, (400, "invalid_request"), id="no_client_id"),
        pytest.param({"client_id": "other"}, None, (400, "invalid_request"), id="other_client_id"),
        pytest.param(
            {"redirect_uri": "http://evil.example/"}, None, (400, "invalid_request"), id="redirect"
        ),
        pytest.param({"request_uri": "urn:x"}, None, (400, "request_uri_not_supported"), id="uri"),
        pytest.param({"code_challenge": None}, None, (400, "invalid_request"), id="no_pkce"),
        pytest.param({"scope": "email"}, None, (400, "invalid_scope"), id="scope"),
    ],
)
async def test_refused_pushes(
    pushing: StandIn,
    changes: dict[str, str | None],
    headers: dict[str, str] | None,
    outcome: tuple[int, str],
) -> None:
    """A request is judged when it is pushed, as the authorization endpoint would (2.1 and 2.3)."""
    pushing.register("other")
    assert (await push(pushing)).code == 201
    response = await push(pushing, headers, **changes)
    assert (response.code, error_of(response)) == outcome


async def test_pushed_with_an_assertion(browser: Browser, clock: Clock, pushing: StandIn) -> None:
    """A client proves itself at this endpoint as at the others, and of that nothing is kept."""
    by_private_key(pushing)
    proof = {"client_assertion": assertion(pushing, clock()), "client_assertion_type": TYPE}
    response = await push(pushing, {}, **proof)
    assert response.code == 201
    assert (await push(pushing, {}, **proof)).code == 401


# -- encrypted and signed answers --------------------------------------------------------------


def opened(token: str) -> str:
    """The token inside, opened by somebody else's library."""
    key = jwk.import_key(ENCRYPTED.to_pem().decode(), "EC")
    found = jwe.decrypt_compact(token, key, algorithms=["ECDH-ES", "A128CBC-HS256"]).plaintext
    assert found is not None
    return found.decode()


def encrypting(stand_in: StandIn, **changes: Any) -> None:
    stand_in.register("app", jwks={"keys": [KEY.to_jwk(), ENCRYPTED.to_jwk()]}, **changes)


async def test_encrypted_id_token(browser: Browser, stand_in: StandIn) -> None:
    """Signed, then encrypted to the client's key (Core 1.0, 10.2)."""
    encrypting(stand_in, id_token_encrypted_response_alg="ECDH-ES")
    answer = await stand_in.tokens(browser)
    assert (await stand_in.claims(opened(answer["id_token"])))["aud"] == "app"


async def test_encrypted_logout_token(browser: Browser, stand_in: StandIn) -> None:
    """Logout tokens as id tokens (Back-Channel Logout 1.0, 2.4)."""
    encrypting(stand_in, id_token_encrypted_response_alg="ECDH-ES")
    await stand_in.tokens(browser)
    await stand_in.provider.sign_out("alice")
    assert "events" in await stand_in.claims(opened(stand_in.logout_tokens[0]))


@pytest.mark.parametrize("encrypted", [False, True])
async def test_signed_userinfo(browser: Browser, stand_in: StandIn, encrypted: bool) -> None:
    """Userinfo as a token, with iss and aud (Core 1.0, 5.3.2)."""
    options = {"userinfo_encrypted_response_alg": "ECDH-ES"} if encrypted else {}
    encrypting(stand_in, userinfo_signed_response_alg="ES256", **options)
    answer = await stand_in.tokens(browser)
    response = await stand_in.userinfo(answer["access_token"])
    assert response.headers["Content-Type"] == "application/jwt"
    token = response.body.decode()
    claims = await stand_in.claims(opened(token) if encrypted else token)
    assert claims["iss"] == stand_in.provider.issuer
    assert claims["sub"] == stand_in.provider.account("alice").sub


# -- registration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registration", "code"),
    [
        pytest.param(
            {"token_endpoint_auth_method": "private_key_jwt"}, "client_jwks_missing", id="jwks"
        ),
        pytest.param(
            {"token_endpoint_auth_method": "client_secret_jwt"},
            "client_secret_and_method",
            id="secret",
        ),
        pytest.param(
            {"id_token_encrypted_response_alg": "RSA1_5"}, "client_alg_unknown", id="encryption"
        ),
        pytest.param(
            {"id_token_encrypted_response_enc": "none"}, "client_alg_unknown", id="content"
        ),
        pytest.param(
            {"userinfo_signed_response_alg": "none"}, "client_alg_unknown", id="userinfo_none"
        ),
        pytest.param(
            {"userinfo_signed_response_alg": "HS256"}, "client_alg_no_secret", id="userinfo_hmac"
        ),
    ],
)
def test_registration_refused(registration: dict[str, Any], code: str) -> None:
    """What can't work is refused when it is registered."""
    provider = Provider()
    provider.add_client("app")
    with refusal(ConfigurationError, code):
        provider.add_client("app", **registration)


async def test_no_key_to_encrypt_to(stand_in: StandIn) -> None:
    """A client that wants encryption and gave no key for it is the test's mistake."""
    stand_in.register("app", id_token_encrypted_response_alg="ECDH-ES")
    with refusal(ConfigurationError, "client_jwks_missing"):
        await stand_in.provider.logout_token("app", sub="x")


async def test_required_implies_offered() -> None:
    """The constructor's two switches."""
    assert not Provider().pushed_authorization_requests
    assert Provider(pushed_authorization_requests=True).pushed_authorization_requests
    provider = Provider(require_pushed_authorization_requests=True)
    assert provider.pushed_authorization_requests
