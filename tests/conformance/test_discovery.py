"""OpenID Connect Discovery 1.0, the keys' rotation of Core 10.1.1, and RFC 8414."""

from __future__ import annotations

import pytest
from rows import JSON_CODES, Passes, Refused, Row, does
from stage import Stage, shown_code

from clefstorm.testing import Answer
from clefstorm.testing.provider.faulty_json import JSON_CHANGES

ROTATION = "oidcc-client-test-signing-key-rotation"


@does("Discovery 4.1", "as required", module="oidcc-client-test-discovery-openid-config")
async def configuration_is_fetched(stage: Stage) -> None:
    """The endpoints come from /.well-known/openid-configuration below the issuer"""
    stage.provider.tamper["discovery"] = lambda document: document.pop("userinfo_endpoint") and None
    assert (await stage.sign_in()).text == "here"
    paths = [seen.path for seen in stage.provider.requests]
    assert paths.count("/.well-known/openid-configuration") == 1
    assert "/userinfo" not in paths


@does("Discovery 3", "as required", module="oidcc-client-test-discovery-jwks-uri-keys")
async def keys_are_fetched(stage: Stage) -> None:
    """The keys come from jwks_uri, wherever that is, and once for many logins"""
    for _ in range(3):
        assert (await stage.sign_in()).text == "here"
    assert [seen.path for seen in stage.provider.requests].count("/jwks") == 1
    stage.configure()
    elsewhere = {"jwks_uri": f"{stage.provider.issuer}/nothing-here"}
    stage.provider.tamper["discovery"] = lambda document: document.update(elsewhere)
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "jwks_status")


@does("Core 10.1.1", "signed in at once", module=ROTATION)
async def rotated_key(stage: Stage) -> None:
    """A key that was rotated after the keys were fetched is found at the next login"""
    assert (await stage.sign_in()).text == "here"
    stage.provider.rotate_keys()
    assert (await stage.sign_in()).text == "here"
    stage.provider.rotate_keys(forget=True)
    assert (await stage.sign_in()).text == "here"
    assert len(stage.events("signed_in")) == 3


@does("Core 10.1.1", "signed in at once", module=f"{ROTATION}-just-before-signing")
async def rotated_key_just_before_signing(stage: Stage) -> None:
    """A key that is rotated between the keys' fetch and the signature is found"""
    assert (await stage.sign_in()).text == "here"

    def rotate(draft: object) -> None:
        stage.provider.rotate_keys(forget=True)
        draft.key = stage.provider.keys.key_for(stage.provider.clients["app"])  # type: ignore[attr-defined]

    stage.provider.tamper["id_token"] = rotate
    assert (await stage.sign_in()).text == "here"


@does("Core 10.1.1 and RFC 8725 3.10", "signed in at once")
async def rotated_key_after_a_burst_of_forged_kids(stage: Stage) -> None:
    """Whoever posts tokens with kids of his own can't hide a rotated key from a login"""
    assert (await stage.sign_in()).text == "here"
    for number in range(30):
        stage.provider.tamper["logout_token"] = lambda draft, n=number: draft.header.update(
            kid=f"forged-{n}"
        )
        token = await stage.provider.logout_token("app", sub=stage.sub())
        assert (await stage.post_logout_token(token)).status == 400
    fetches = [seen.path for seen in stage.provider.requests].count("/jwks")
    assert fetches <= 7
    stage.provider.rotate_keys(forget=True)
    assert (await stage.sign_in()).text == "here"


@does("Core 10.1.1 and Back-Channel 2.6", "signed out five seconds later")
async def rotated_key_of_a_logout_token_after_forged_kids(stage: Stage) -> None:
    """Forged kids can't hide a rotated key from a logout token for more than five seconds"""
    assert (await stage.sign_in()).text == "here"
    for number in range(30):
        stage.provider.tamper["logout_token"] = lambda draft, n=number: draft.header.update(
            kid=f"forged-{n}"
        )
        token = await stage.provider.logout_token("app", sub=stage.sub())
        await stage.post_logout_token(token)
    stage.provider.behave()
    stage.provider.rotate_keys(forget=True)
    stage.clock.advance(5)
    token = await stage.provider.logout_token("app", sub=stage.sub())
    assert (await stage.post_logout_token(token)).status == 200
    assert await stage.user() is None


def _without_kid(stage: Stage) -> None:
    """A provider that names no kids at all."""
    stage.provider.misbehave("kid_missing")
    stage.provider.misbehave("kid_missing", at="logout_token")
    stage.provider.misbehave("keys_without_kid")


@does("Core 10.1 and 10.1.1", "signed in at once")
async def rotated_key_without_kid(stage: Stage) -> None:
    """The one key of a provider that names no kids is found when it was rotated"""
    _without_kid(stage)
    assert (await stage.sign_in()).text == "here"
    stage.provider.rotate_keys(forget=True)
    assert (await stage.sign_in()).text == "here"
    token = await stage.provider.logout_token("app", sub=stage.sub())
    stage.provider.rotate_keys(forget=True)
    stage.clock.advance(5)
    token = await stage.provider.logout_token("app", sub=stage.sub())
    assert (await stage.post_logout_token(token)).status == 200


@does("Core 10.1.1 and RFC 8725 3.10", "400, and no more than 7 fetches")
async def forged_tokens_without_kid(stage: Stage) -> None:
    """A flood of forged tokens without kid costs the provider few fetches"""
    _without_kid(stage)
    assert (await stage.sign_in()).text == "here"
    stage.provider.tamper["logout_token"] = lambda draft: (
        draft.header.update(kid=None) or (draft.signed_with(bytes(256)))
    )
    for _ in range(30):
        token = await stage.provider.logout_token("app", sub=stage.sub())
        assert (await stage.post_logout_token(token)).status == 400
    assert [seen.path for seen in stage.provider.requests].count("/jwks") <= 7
    assert await stage.user() == stage.sub()


@does("Core 10.1", "502 ``kid_missing``", module="oidcc-client-test-kid-absent-multiple-jwks")
async def kid_missing_of_several_keys(stage: Stage) -> None:
    """Of several keys that fit, none is guessed for a token that names none"""
    stage.provider.rotate_keys()
    assert (await stage.sign_in()).text == "here"
    stage.provider.misbehave("kid_missing")
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "kid_missing")


@does("Discovery 4", "signed in a moment later")
async def configuration_broken_for_a_second(stage: Stage) -> None:
    """A metadata document that was broken for a second is not remembered"""
    for broken in (Answer(status=503), Answer(body="<h1>Oops</h1>"), Answer(body={})):
        stage.configure()
        stage.provider.answer_instead["discovery"] = broken
        page = await stage.sign_in()
        assert page.status == 502
        stage.provider.behave()
        assert (await stage.sign_in()).text == "here"


@does("Core 10.1.1", "signed in a moment later")
async def keys_broken_for_a_second(stage: Stage) -> None:
    """A key document that was broken for a second is not remembered"""
    for broken in (Answer(status=503), Answer(body="<h1>Oops</h1>"), Answer(body={"keys": []})):
        stage.configure()
        stage.provider.answer_instead["jwks"] = broken
        page = await stage.sign_in()
        assert page.status == 502
        stage.provider.behave()
        assert (await stage.sign_in()).text == "here"


@does("Discovery 4", "signed in")
async def documents_broken_when_they_are_renewed(stage: Stage) -> None:
    """Documents that were good serve on while new ones can't be had"""
    assert (await stage.sign_in()).text == "here"
    stage.clock.advance(3 * 3600)
    for name in ("discovery", "jwks"):
        stage.provider.answer_instead[name] = Answer(status=503)
    assert (await stage.sign_in()).text == "here"


REFUSED_AT_START = (
    ("issuer_other", "Discovery 4.3", "metadata_issuer_mismatch"),
    ("issuer_missing", "Discovery 4.3", "metadata_issuer_mismatch"),
    ("issuer_slash", "Discovery 4.3", "metadata_issuer_mismatch"),
    ("issuer_upper", "Discovery 4.3", "metadata_issuer_mismatch"),
    ("issuer_number", "Discovery 4.3", "metadata_issuer_mismatch"),
    ("authorization_endpoint_missing", "Discovery 3", "metadata_missing"),
    ("token_endpoint_missing", "Discovery 3", "metadata_missing"),
    ("algs_text", "Discovery 3 and 4.2", "metadata_type"),
    ("iss_parameter_text", "RFC 9207 3", "metadata_type"),
    ("token_endpoint_number", "Discovery 3", "metadata_type"),
    ("token_endpoint_relative", "Discovery 3", "url_invalid"),
    ("token_endpoint_script", "Discovery 3", "url_invalid"),
    ("token_endpoint_userinfo", "Discovery 3", "url_invalid"),
    ("token_endpoint_fragment", "RFC 6749 3.2", "url_invalid"),
    ("authorization_endpoint_http", "RFC 6749 3.1", "url_unsafe"),
    ("token_endpoint_http", "RFC 6749 3.2", "url_unsafe"),
    ("jwks_uri_http", "Discovery 3", "url_unsafe"),
    ("userinfo_endpoint_http", "Discovery 3", "url_unsafe"),
    ("end_session_endpoint_http", "RP-Initiated 2.1", "url_unsafe"),
    ("revocation_endpoint_http", "RFC 7009 2", "url_unsafe"),
)

ROWS: tuple[Row, ...] = (
    configuration_is_fetched,
    keys_are_fetched,
    rotated_key,
    rotated_key_just_before_signing,
    rotated_key_after_a_burst_of_forged_kids,
    rotated_key_of_a_logout_token_after_forged_kids,
    rotated_key_without_kid,
    forged_tokens_without_kid,
    kid_missing_of_several_keys,
    configuration_broken_for_a_second,
    keys_broken_for_a_second,
    documents_broken_when_they_are_renewed,
    *(
        Refused(
            fault=fault,
            source=source,
            code=code,
            module="oidcc-client-test-discovery-issuer-mismatch"
            if fault == "issuer_other"
            else None,
        )
        for fault, source, code in REFUSED_AT_START
    ),
    Refused(
        fault="methods_unknown",
        source="Discovery 3",
        code="auth_method_unsupported",
        status=500,
    ),
    Refused(fault="jwks_uri_missing", source="Discovery 3", code="jwks_uri_missing"),
    Refused(fault="algs_none_alone", source="Discovery 3", code="alg_not_allowed"),
    Refused(fault="algs_other", source="Discovery 3", code="alg_not_allowed"),
    Passes(fault="algs_missing", source="Core 15.1"),
    Passes(fault="algs_hs256_too", source="Discovery 3"),
    Passes(fault="members_unknown", source="Discovery 4.2"),
    Refused(fault="says_404", at="discovery", source="Discovery 4.2", code="metadata_status"),
    Refused(fault="says_500", at="discovery", source="Discovery 4.2", code="metadata_status"),
    Refused(fault="redirects", at="discovery", source="Discovery 4.2", code="metadata_status"),
    Refused(fault="says_204", at="discovery", source="Discovery 4.2", code="metadata_status"),
    *(
        Refused(
            fault=fault,
            at="discovery",
            source="Discovery 4.2 and RFC 8259",
            code=JSON_CODES.get(fault, "json_invalid"),
        )
        for fault in JSON_CHANGES
    ),
    Refused(fault="says_404", at="jwks", source="RFC 7517 5", code="jwks_status"),
    Refused(fault="redirects", at="jwks", source="RFC 7517 5", code="jwks_status"),
    Refused(fault="keys_missing", source="RFC 7517 5", code="jwks_malformed"),
    Refused(fault="keys_object", source="RFC 7517 5", code="jwks_malformed"),
    Refused(fault="keys_none", source="RFC 7517 5", code="jwks_no_usable_key"),
    Refused(fault="keys_not_objects", source="RFC 7517 5", code="jwks_no_usable_key"),
    Refused(fault="keys_many", source="RFC 7517 5", code="jwks_too_many_keys"),
    *(
        Refused(
            fault=fault,
            at="jwks",
            source="RFC 7517 5 and RFC 8259",
            code=JSON_CODES.get(fault, "json_invalid"),
        )
        for fault in JSON_CHANGES
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_discovery(stage: Stage, row: Row) -> None:
    """Each rule of Discovery and of the keys' publication holds against its fault."""
    await row.prove(stage)
