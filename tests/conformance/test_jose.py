"""JOSE and JWT: RFC 7515 to 7519, RFC 7797, RFC 8037, and the best practice of RFC 8725."""

from __future__ import annotations

import pytest
from rows import JSON_CODES, Passes, Refused, Row, does
from stage import Stage

from clefstorm.testing.provider.faulty_json import JSON_CHANGES

ES256 = {"id_token_signed_response_alg": "ES256"}
EDDSA = {"id_token_signed_response_alg": "EdDSA"}
PS256 = {"id_token_signed_response_alg": "PS256"}
HS256 = {"id_token_signed_response_alg": "HS256"}


@does("RFC 7518 3.1, RFC 8037 3.1 and RFC 9864 2.2", "signed in")
async def algorithms_that_are_good(stage: Stage) -> None:
    """RS256, PS256, ES256 and EdDSA are all verified, pinned or announced"""
    for alg in ("RS256", "PS256", "ES256", "EdDSA"):
        stage.register(id_token_signed_response_alg=alg)
        for pinned in (alg, None):
            stage.configure(id_token_signed_response_alg=pinned)
            assert (await stage.sign_in()).text == "here", alg
    assert len(stage.events("signed_in")) == 8


@does("RFC 7518 3.2 and RFC 8725 3.5", "signed in only where it is pinned")
async def hmac_only_when_pinned(stage: Stage) -> None:
    """HS256 under the client_secret counts only for an alias that pins it"""
    stage.register(**HS256)
    stage.configure(**HS256)
    assert (await stage.sign_in()).text == "here"
    stage.configure()
    page = await stage.sign_in()
    assert (page.status, "alg_not_allowed" in page.text) == (502, True)


def refused(source: str, *rows: tuple[str, str], **more: object) -> tuple[Refused, ...]:
    """Rows of one source that differ by the fault and the code alone."""
    return tuple(
        Refused(fault=fault, source=source, code=code, **more)  # type: ignore[arg-type]
        for fault, code in rows
    )


ROWS: tuple[Row, ...] = (
    algorithms_that_are_good,
    hmac_only_when_pinned,
    # -- RFC 7515: header and serialization -------------------------------------------------------
    *refused(
        "RFC 7515 4.1.1",
        ("alg_missing", "alg_missing"),
        ("alg_number", "header_type"),
        ("alg_unknown", "alg_not_allowed"),
    ),
    *refused(
        "RFC 8725 3.10 and RFC 7515 4.1.2 to 4.1.6",
        ("header_jwk", "kid_unknown"),
        ("header_jwk_our_kid", "signature_invalid"),
        ("header_jku", "kid_unknown"),
        ("header_x5u", "kid_unknown"),
        ("header_x5c", "kid_unknown"),
    ),
    Passes(fault="header_ignored", source="RFC 7515 4.1.2 and 4.1.5"),
    *refused(
        "RFC 7515 4.1.4 and RFC 8725 3.10",
        ("kid_unknown", "kid_unknown"),
        ("kid_of_a_stranger", "kid_unknown"),
        ("kid_path", "kid_unknown"),
        ("kid_number", "header_type"),
    ),
    *refused(
        "RFC 7515 4.1.11",
        ("header_crit", "crit_refused"),
        ("header_crit_empty", "crit_refused"),
    ),
    *refused(
        "RFC 7797 6", ("header_b64", "crit_refused"), ("header_b64_uncritical", "b64_refused")
    ),
    *refused(
        "RFC 7515 5.2, steps 1 to 4",
        ("header_alg_twice", "json_duplicate_name"),
        ("header_not_json", "json_invalid"),
        ("header_array", "json_not_object"),
        ("base64_padded", "base64url_invalid"),
        ("base64_newline", "base64url_invalid"),
        ("base64_space", "base64url_invalid"),
        ("base64_spare_bits", "base64url_invalid"),
    ),
    *refused(
        "RFC 7515 5.2, steps 7 and 8",
        ("signature_empty", "signature_invalid"),
        ("signature_short", "signature_invalid"),
        ("signature_long", "signature_invalid"),
        ("signature_zero", "signature_invalid"),
        ("signature_of_a_stranger", "signature_invalid"),
    ),
    *refused(
        "RFC 7515 7.1",
        ("parts_one", "jwt_malformed"),
        ("parts_two", "jwt_malformed"),
        ("parts_four", "jwt_malformed"),
        ("parts_json", "jwt_malformed"),
        ("dots_many", "jwt_malformed"),
        ("token_long", "jwt_too_long"),
    ),
    *refused("RFC 7516 3 and RFC 8725 3.6", ("parts_five", "jwt_encrypted")),
    # -- RFC 8725: algorithms and types -----------------------------------------------------------
    *refused("RFC 8725 3.2", ("alg_none_mixed", "alg_none")),
    *refused(
        "RFC 8725 3.1",
        ("hmac_public_pem", "alg_not_allowed"),
        ("hmac_public_jwk", "alg_not_allowed"),
        ("hmac_empty", "alg_not_allowed"),
        ("alg_other_hash", "alg_not_allowed"),
        ("alg_other_scheme", "key_unfit"),
    ),
    Refused(
        fault="hmac_public_pem",
        name="hmac_public_pem_where_hmac_is_announced",
        source="RFC 8725 3.1",
        code="alg_not_allowed",
        besides=("algs_hs256_too",),
    ),
    Refused(
        fault="signature_wrong",
        name="signature_wrong_hs256",
        source="RFC 7518 3.2",
        code="signature_invalid",
        registration=HS256,
        options=HS256,
        module=("oidcc-client-test-invalid-sig-hs256",),
    ),
    Refused(
        fault="signature_wrong",
        name="signature_wrong_es256",
        source="RFC 7518 3.4",
        code="signature_invalid",
        registration=ES256,
        module=("oidcc-client-test-invalid-sig-es256",),
    ),
    *(
        Refused(
            fault=fault,
            name=f"{fault}_es256",
            source="RFC 7518 3.4",
            code="signature_invalid",
            registration=ES256,
        )
        for fault in ("signature_zero", "signature_der", "signature_long", "signature_short")
    ),
    Refused(
        fault="signature_wrong",
        name="signature_wrong_eddsa",
        source="RFC 8037 3.1",
        code="signature_invalid",
        registration=EDDSA,
    ),
    Refused(
        fault="signature_zero",
        name="signature_zero_eddsa",
        source="RFC 8037 3.1",
        code="signature_invalid",
        registration=EDDSA,
    ),
    Refused(
        fault="signature_wrong",
        name="signature_wrong_ps256",
        source="RFC 7518 3.5",
        code="signature_invalid",
        registration=PS256,
    ),
    Refused(
        fault="claims_unknown",
        name="alg_not_the_pinned_one",
        source="RFC 8725 3.1 and Core 3.1.3.7, step 7",
        code="alg_not_allowed",
        hurried=ES256,
    ),
    *refused(
        "RFC 8725 3.11 and 3.12",
        ("typ_at_jwt", "typ_wrong"),
        ("typ_application_at_jwt", "typ_wrong"),
        ("typ_logout_jwt", "typ_wrong"),
        ("typ_secevent", "typ_wrong"),
        ("typ_dpop", "typ_wrong"),
        ("event_in_id_token", "events_prohibited"),
    ),
    *refused("RFC 7515 4.1.9", ("typ_number", "header_type")),
    *(Passes(fault=fault, source="RFC 7515 4.1.9") for fault in ("typ_absent", "typ_jwt_lower")),
    # -- RFC 7517 and 7518: keys ------------------------------------------------------------------
    *refused("RFC 7517 4.2", ("keys_use_enc", "jwks_no_usable_key")),
    *refused(
        "RFC 7517 4.3",
        ("keys_ops_encrypt", "jwks_no_usable_key"),
        ("keys_ops_text", "jwks_no_usable_key"),
    ),
    *refused(
        "RFC 7517 4.4",
        ("keys_alg_other", "key_unfit"),
        ("keys_alg_unfit", "jwks_no_usable_key"),
    ),
    *refused("RFC 7517 4.1", ("keys_kty_other", "jwks_no_usable_key")),
    *refused(
        "RFC 7517 4.5",
        ("keys_kid_number", "jwks_no_usable_key"),
        ("keys_without_kid", "kid_unknown"),
    ),
    *refused("RFC 7517 9.2", ("keys_private", "jwks_no_usable_key")),
    *refused("RFC 7517 9.2 and RFC 8725 3.5", ("key_symmetric", "alg_not_allowed")),
    *refused("RFC 7518 3.3 and RFC 8725 3.5", ("key_weak", "kid_unknown")),
    *refused(
        "RFC 7518 6.3.1",
        ("keys_without_n", "jwks_no_usable_key"),
        ("keys_exponent_one", "jwks_no_usable_key"),
    ),
    *(
        Refused(
            fault=fault,
            source=source,
            code="kid_unknown",
            registration=ES256,
        )
        for fault, source in (
            ("keys_off_curve", "RFC 8725 3.4"),
            ("keys_short_coordinate", "RFC 7518 6.2.1.2"),
            ("keys_curve_other", "RFC 7518 6.2.1.1"),
        )
    ),
    Passes(
        fault="keys_strange_too",
        source="RFC 7517 5",
        module=("oidcc-client-test-ignores-unparseable-key-in-jwks",),
    ),
    *(
        Passes(fault=fault, source="RFC 7517 4.2 to 4.5")
        for fault in ("keys_without_alg", "keys_without_use")
    ),
    # -- RFC 7519 and RFC 8259: the claims' JSON --------------------------------------------------
    *refused("RFC 7519 2 (NumericDate)", ("exp_infinite", "json_invalid")),
    *refused(
        "RFC 7519 4.1.5",
        ("nbf_future", "nbf_in_future"),
        ("nbf_text", "claim_type"),
    ),
    *(
        Refused(
            fault=fault,
            at="id_token",
            source="RFC 7519 4 and 7.2" if fault == "json_name_twice" else "RFC 7519 7.2",
            code=JSON_CODES.get(fault, "json_invalid"),
        )
        for fault in JSON_CHANGES
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_jose(stage: Stage, row: Row) -> None:
    """Each rule of the JOSE and JWT specifications holds against its fault."""
    await row.prove(stage)
