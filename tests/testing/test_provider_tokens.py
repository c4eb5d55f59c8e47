"""The embedded provider's token, userinfo and revocation endpoints, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from stand_in import SECRET, VERIFIER, StandIn, basic, error_of

from clefstorm.testing import Account, Browser, Clock, Provider


async def test_a_code_becomes_tokens(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """A successful answer has its members, and is not stored (RFC 6749, 5.1; Core 3.1.3.3)."""
    response = await stand_in.redeem(await stand_in.code(browser))

    assert response.code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"
    answer = json.loads(response.body)
    assert set(answer) == {"access_token", "token_type", "expires_in", "scope", "id_token"}
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600
    assert answer["scope"] == "openid profile email"


async def test_id_token(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """The id token has the claims of Core 2, and is signed by the published key."""
    clock.advance(7)
    answer = await stand_in.tokens(browser)
    claims = await stand_in.claims(answer["id_token"])

    [session] = stand_in.provider.sessions
    half = hashlib.sha256(answer["access_token"].encode()).digest()[:16]
    assert claims == {
        "iss": stand_in.provider.issuer,
        "sub": stand_in.provider.account("alice").sub,
        "aud": "app",
        "iat": clock(),
        "exp": clock() + 3600,
        "auth_time": clock(),
        "nonce": "the nonce",
        "sid": session.sids["app"],
        "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
    }


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_signing_algorithms(browser: Browser, stand_in: StandIn, alg: str) -> None:
    """id_token_signed_response_alg is the client's choice (Registration 1.0, 2)."""
    stand_in.register("app", id_token_signed_response_alg=alg)
    answer = await stand_in.tokens(browser)

    assert (await stand_in.claims(answer["id_token"]))["aud"] == "app"


async def test_hs256_is_signed_by_the_secret(browser: Browser, stand_in: StandIn) -> None:
    """For HS256 the key is the client_secret (Core 10.1)."""
    stand_in.register("app", id_token_signed_response_alg="HS256")
    answer = await stand_in.tokens(browser)

    assert (await stand_in.claims(answer["id_token"], key=SECRET))["aud"] == "app"


async def test_a_code_is_used_once(browser: Browser, stand_in: StandIn) -> None:
    """A code that comes again is refused, and what it gave is revoked (RFC 6749, 4.1.2)."""
    code = await stand_in.code(browser, scope="openid offline_access")
    answer = json.loads((await stand_in.redeem(code)).body)
    assert (await stand_in.userinfo(answer["access_token"])).code == 200

    again = await stand_in.redeem(code)

    assert (again.code, error_of(again)) == (400, "invalid_grant")
    assert (await stand_in.userinfo(answer["access_token"])).code == 401
    assert error_of(await stand_in.refresh(answer["refresh_token"])) == "invalid_grant"


async def test_a_code_is_short_lived(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """A code lives for a minute."""
    first, second = await stand_in.code(browser), await stand_in.code(browser)
    clock.advance(59)
    assert (await stand_in.redeem(first)).code == 200
    clock.advance(1)
    assert error_of(await stand_in.redeem(second)) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"code": "made up"}, "invalid_grant", id="unknown_code"),
        pytest.param({"code": None}, "invalid_request", id="no_code"),
        pytest.param({"code_verifier": VERIFIER + "x"}, "invalid_grant", id="wrong_verifier"),
        pytest.param({"code_verifier": "x"}, "invalid_grant", id="short_verifier"),
        pytest.param({"code_verifier": None}, "invalid_request", id="no_verifier"),
        pytest.param({"redirect_uri": "http://127.0.0.1:1/"}, "invalid_grant", id="redirect_uri"),
        pytest.param({"redirect_uri": None}, "invalid_request", id="no_redirect_uri"),
        pytest.param({"grant_type": "password"}, "unsupported_grant_type", id="grant_type"),
        pytest.param({"grant_type": None}, "invalid_request", id="no_grant_type"),
    ],
)
async def test_refused_code_requests(
    browser: Browser, stand_in: StandIn, changes: dict[str, str | None], error: str
) -> None:
    """The token endpoint refuses what does not fit the authorization (RFC 6749, 5.2)."""
    assert (await stand_in.redeem(await stand_in.code(browser))).code == 200

    refused = await stand_in.redeem(
        **{"code": await stand_in.code(browser), **changes}  # type: ignore[arg-type]
    )

    assert (refused.code, error_of(refused)) == (400, error)
    assert refused.headers["Cache-Control"] == "no-store"


async def test_a_failed_attempt_uses_the_code_up(browser: Browser, stand_in: StandIn) -> None:
    """Nobody may try verifiers: after one wrong one, the right one comes too late."""
    code = await stand_in.code(browser)
    await stand_in.redeem(code, code_verifier=VERIFIER + "x")

    assert error_of(await stand_in.redeem(code)) == "invalid_grant"


async def test_another_client_can_not_use_the_code(browser: Browser, stand_in: StandIn) -> None:
    """A code is bound to its client (RFC 6749, 4.1.3), who can use it afterwards."""
    stand_in.register("other")
    code = await stand_in.code(browser)

    stolen = await stand_in.redeem(code, headers=basic("other", SECRET))
    assert error_of(stolen) == "invalid_grant"
    assert (await stand_in.redeem(code)).code == 200


@pytest.mark.parametrize(
    ("method", "headers", "fields", "outcome"),
    [
        pytest.param("basic", basic("app", SECRET), {}, (200, None), id="basic"),
        pytest.param("basic", basic("app", "x"), {}, (401, "invalid_client"), id="basic_wrong"),
        pytest.param("basic", basic("x", SECRET), {}, (401, "invalid_client"), id="basic_unknown"),
        pytest.param(
            "basic", {"Authorization": "Basic !"}, {}, (401, "invalid_client"), id="basic_garbled"
        ),
        pytest.param(
            "basic", {"Authorization": "Bearer x"}, {}, (401, "invalid_client"), id="not_basic"
        ),
        pytest.param("basic", {}, {}, (401, "invalid_client"), id="nothing"),
        pytest.param("basic", {}, {"client_id": "app"}, (401, "invalid_client"), id="name_only"),
        pytest.param(
            "basic",
            {},
            {"client_id": "app", "client_secret": SECRET},
            (401, "invalid_client"),
            id="post_for_basic",
        ),
        pytest.param(
            "basic",
            basic("app", SECRET),
            {"client_secret": SECRET},
            (400, "invalid_request"),
            id="two_methods",
        ),
        pytest.param(
            "basic",
            basic("app", SECRET),
            {"client_id": "other"},
            (400, "invalid_request"),
            id="two_names",
        ),
        pytest.param(
            "post", {}, {"client_id": "app", "client_secret": SECRET}, (200, None), id="post"
        ),
        pytest.param(
            "post",
            {},
            {"client_id": "app", "client_secret": "x"},
            (401, "invalid_client"),
            id="post_wrong",
        ),
        pytest.param(
            "post", basic("app", SECRET), {}, (401, "invalid_client"), id="basic_for_post"
        ),
        pytest.param("none", {}, {"client_id": "app"}, (200, None), id="none"),
        pytest.param(
            "none",
            {},
            {"client_id": "app", "client_secret": "x"},
            (401, "invalid_client"),
            id="secret_for_none",
        ),
    ],
)
async def test_client_authentication(
    browser: Browser,
    stand_in: StandIn,
    method: str,
    headers: dict[str, str],
    fields: dict[str, str | None],
    outcome: tuple[int, str | None],
) -> None:
    """A client proves itself in the one way it is registered for (RFC 6749, 2.3 and 5.2)."""
    if method == "none":
        stand_in.register("app", client_secret=None)
    else:
        stand_in.register("app", token_endpoint_auth_method=f"client_secret_{method}")
    response = await stand_in.redeem(await stand_in.code(browser), headers=headers, **fields)

    status, error = outcome
    assert response.code == status, response.body
    assert error is None or error_of(response) == error
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_basic_is_form_encoded_first(browser: Browser, stand_in: StandIn) -> None:
    """Name and secret are form-encoded before they are joined (RFC 6749, 2.3.1)."""
    stand_in.register("app", client_secret="a:b+c d%")
    response = await stand_in.redeem(
        await stand_in.code(browser), headers=basic("app", "a%3Ab%2Bc+d%25")
    )
    assert response.code == 200


async def test_only_forms(stand_in: StandIn) -> None:
    """Parameters come as a form (RFC 6749, 3.2), each once."""
    for headers, body in (
        ({"Content-Type": "application/json"}, '{"grant_type": "authorization_code"}'),
        ({}, "grant_type=authorization_code&grant_type=authorization_code"),
        ({}, "grant_type=\xff"),
    ):
        response = await stand_in.http.fetch(
            f"{stand_in.provider.issuer}/token",
            method="POST",
            headers={**basic("app", SECRET), **headers},
            body=body,
            raise_error=False,
        )
        assert (response.code, error_of(response)) == (400, "invalid_request")


async def test_refresh(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """A refresh gives all anew; the id token keeps iss, sub, aud, auth_time (Core 12.2)."""
    first = await stand_in.tokens(browser, scope="openid email offline_access")
    clock.advance(100)
    response = await stand_in.refresh(first["refresh_token"])

    second = json.loads(response.body)
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    old = await stand_in.claims(first["id_token"])
    new = await stand_in.claims(second["id_token"])
    assert {name for name in old | new if old.get(name) != new.get(name)} == {
        "iat",
        "exp",
        "at_hash",
        "nonce",
    }
    assert "nonce" not in new


async def test_refresh_tokens_are_for_offline_access(browser: Browser, stand_in: StandIn) -> None:
    """Without the scope offline_access there is no refresh token (Core 11)."""
    assert "refresh_token" not in await stand_in.tokens(browser)
    assert "refresh_token" in await stand_in.tokens(browser, scope="openid offline_access")


async def test_a_refresh_token_is_used_once(browser: Browser, stand_in: StandIn) -> None:
    """A used refresh token that comes again ends all that followed from it (RFC 9700, 4.14.2)."""
    first = await stand_in.tokens(browser, scope="openid offline_access")
    second = json.loads((await stand_in.refresh(first["refresh_token"])).body)
    third = json.loads((await stand_in.refresh(second["refresh_token"])).body)
    assert (await stand_in.userinfo(third["access_token"])).code == 200

    again = await stand_in.refresh(first["refresh_token"])

    assert (again.code, error_of(again)) == (400, "invalid_grant")
    assert error_of(await stand_in.refresh(third["refresh_token"])) == "invalid_grant"
    assert (await stand_in.userinfo(third["access_token"])).code == 401


async def test_scope_of_a_refresh(browser: Browser, stand_in: StandIn) -> None:
    """A refresh may ask for less, never for more than was granted (RFC 6749, 6)."""
    first = await stand_in.tokens(browser, scope="openid email offline_access")
    more = await stand_in.refresh(first["refresh_token"], scope="openid profile")
    assert error_of(more) == "invalid_scope"

    less = json.loads((await stand_in.refresh(first["refresh_token"], scope="openid")).body)
    assert less["scope"] == "openid"
    assert "email" not in json.loads((await stand_in.userinfo(less["access_token"])).body)


async def test_refused_refreshes(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """A refresh token is its client's, known, and alive; it lives 14 days (RFC 6749, 10.4)."""
    stand_in.register("other")
    token = (await stand_in.tokens(browser, scope="openid offline_access"))["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": token}

    assert error_of(await stand_in.refresh("made up")) == "invalid_grant"
    stolen = await stand_in.post("/token", form, basic("other", SECRET))
    assert error_of(stolen) == "invalid_grant"
    clock.advance(14 * 86400 - 1)
    token = json.loads((await stand_in.refresh(token)).body)["refresh_token"]
    clock.advance(14 * 86400)
    assert error_of(await stand_in.refresh(token)) == "invalid_grant"


async def test_userinfo(browser: Browser, stand_in: StandIn) -> None:
    """userinfo gives sub and the claims of the scope (Core 5.3.2 and 5.4), to GET and POST."""
    answer = await stand_in.tokens(browser, scope="openid email")
    expected = {
        "sub": stand_in.provider.account("alice").sub,
        "email": "alice@example.com",
        "email_verified": True,
    }
    token = answer["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}

    assert json.loads((await stand_in.userinfo(token)).body) == expected
    for form, headers in (({}, bearer), ({"access_token": token}, {})):
        response = await stand_in.post("/userinfo", form, headers)
        assert json.loads(response.body) == expected
    answer = await stand_in.tokens(browser, scope="openid profile")
    profile = json.loads((await stand_in.userinfo(answer["access_token"])).body)
    assert profile["name"] == "Alice Archer"
    assert profile["preferred_username"] == "alice"
    assert profile["picture"].startswith("data:image/svg+xml")
    assert "email" not in profile


def test_accounts_of_your_own() -> None:
    """An account's claims go with the scope profile; what it lacks is left out, sub never."""
    account = Account(username="zoe", password="hush", claims={"groups": ["staff"], "locale": "fr"})

    assert account.sub != "zoe"
    assert account.sub == Account(username="zoe", password="else").sub
    assert account.claims_for(["openid", "email"]) == {"sub": account.sub}
    assert account.claims_for(["openid", "profile"]) == {
        "sub": account.sub,
        "preferred_username": "zoe",
        "groups": ["staff"],
        "locale": "fr",
    }
    assert Account(username="zoe", password="hush", sub="given").sub == "given"


async def test_access_tokens_expire(
    browser: Browser, clock: Clock, stand_in: StandIn, provider: Provider
) -> None:
    """access_token_lifetime is settable while the provider runs."""
    provider.grants.access_token_lifetime = 5
    answer = await stand_in.tokens(browser)
    assert answer["expires_in"] == 5

    clock.advance(4)
    assert (await stand_in.userinfo(answer["access_token"])).code == 200
    clock.advance(1)
    refused = await stand_in.userinfo(answer["access_token"])
    assert refused.code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="userinfo", error="invalid_token"'


async def test_userinfo_without_a_token(stand_in: StandIn) -> None:
    """Without a token the challenge names no error (RFC 6750, 3.1)."""
    for response in (
        await stand_in.http.fetch(f"{stand_in.provider.issuer}/userinfo", raise_error=False),
        await stand_in.post("/userinfo", {}),
    ):
        assert response.code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="userinfo"'


async def test_revoked_refresh_token(browser: Browser, stand_in: StandIn) -> None:
    """Revoking a refresh token ends the access tokens of its grant too (RFC 7009, 2.1)."""
    answer = await stand_in.tokens(browser, scope="openid offline_access")
    form = {"token": answer["refresh_token"], "token_type_hint": "refresh_token"}
    response = await stand_in.post("/revoke", form, basic("app", SECRET))

    assert response.code == 200
    assert error_of(await stand_in.refresh(answer["refresh_token"])) == "invalid_grant"
    assert (await stand_in.userinfo(answer["access_token"])).code == 401


async def test_revoked_access_token(browser: Browser, stand_in: StandIn) -> None:
    """Revoking an access token leaves its refresh token alone."""
    answer = await stand_in.tokens(browser, scope="openid offline_access")
    form = {"token": answer["access_token"]}
    assert (await stand_in.post("/revoke", form, basic("app", SECRET))).code == 200

    assert (await stand_in.userinfo(answer["access_token"])).code == 401
    assert (await stand_in.refresh(answer["refresh_token"])).code == 200


async def test_refused_revocations(browser: Browser, stand_in: StandIn) -> None:
    """A revocation needs the client the token was given to; an unknown token is no error."""
    stand_in.register("other")
    answer = await stand_in.tokens(browser)
    form = {"token": answer["access_token"]}

    unknown = await stand_in.post("/revoke", {"token": "made up"}, basic("app", SECRET))
    assert unknown.code == 200
    for headers, sent, outcome in (
        (basic("app", "wrong"), form, (401, "invalid_client")),
        (basic("other", SECRET), form, (400, "invalid_grant")),
        (basic("app", SECRET), {}, (400, "invalid_request")),
    ):
        response = await stand_in.post("/revoke", sent, headers)
        assert (response.code, error_of(response)) == outcome
    assert (await stand_in.userinfo(answer["access_token"])).code == 200
