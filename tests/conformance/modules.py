"""The OpenID Foundation's conformance suite: its plans for relying parties, module by module.

Source: the suite's own repository, the classes of net.openid.conformance.openid.client (release
of August 2026). LAW: a module that no row names stands here with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping

_T = "oidcc-client-test"
_BACK = f"{_T}-rp-backchannel-rpinitlogout"

_BASIC = (
    _T,
    f"{_T}-invalid-iss",
    f"{_T}-missing-sub",
    f"{_T}-invalid-aud",
    f"{_T}-missing-iat",
    f"{_T}-kid-absent-single-jwks",
    f"{_T}-kid-absent-multiple-jwks",
    f"{_T}-idtoken-sig-rs256",
    f"{_T}-idtoken-sig-none",
    f"{_T}-invalid-sig-rs256",
    f"{_T}-userinfo-invalid-sub",
    f"{_T}-nonce-invalid",
    f"{_T}-scope-userinfo-claims",
    f"{_T}-client-secret-basic",
)

PLANS: Mapping[str, tuple[str, ...]] = {
    "oidcc-client-basic-certification-test-plan": _BASIC,
    "oidcc-client-config-certification-test-plan": (
        f"{_T}-discovery-openid-config",
        f"{_T}-discovery-jwks-uri-keys",
        f"{_T}-discovery-issuer-mismatch",
        f"{_T}-idtoken-sig-none",
        f"{_T}-signing-key-rotation-just-before-signing",
        f"{_T}-signing-key-rotation",
    ),
    "oidcc-client-formpost-basic-certification-test-plan": _BASIC,
    "oidcc-client-rp-initiated-logout-rp-basic": (
        f"{_T}-rp-init-logout",
        f"{_T}-rp-init-logout-other-state",
        f"{_T}-rp-init-logout-no-state",
    ),
    "oidcc-client-front-channel-logout-rp-basic": (f"{_T}-rp-frontchannel-rpinitlogout",),
    "oidcc-client-back-channel-logout-rp-basic": (
        _BACK,
        f"{_BACK}-alg-none",
        f"{_BACK}-no-event",
        f"{_BACK}-with-nonce",
        f"{_BACK}-wrong-alg",
        f"{_BACK}-wrong-aud",
        f"{_BACK}-wrong-event",
        f"{_BACK}-wrong-iss",
    ),
}
"""The certification plans for the code flow, each with its modules in the suite's order."""

FORM_POST_PLAN = "oidcc-client-formpost-basic-certification-test-plan"

OTHERS: tuple[str, ...] = (
    f"{_T}-missing-aud",
    f"{_T}-userinfo-bearer-header",
    f"{_T}-userinfo-bearer-body",
    f"{_T}-nonce-unless-code-flow",
    f"{_T}-missing-chash",
    f"{_T}-invalid-chash",
    f"{_T}-invalid-athash",
    f"{_T}-missing-athash",
    f"{_T}-form-post-error",
    f"{_T}-invalid-sig-hs256",
    f"{_T}-invalid-sig-es256",
    f"{_T}-ignores-unparseable-key-in-jwks",
    f"{_T}-aggregated-claims",
    f"{_T}-distributed-claims",
    f"{_T}-mtls-endpoint-aliases",
    f"{_T}-discovery-webfinger-acct",
    f"{_T}-discovery-webfinger-url",
    f"{_T}-dynamic-registration",
    f"{_T}-request-uri-signed-rs256",
    f"{_T}-request-uri-signed-none",
    f"{_T}-userinfo-signed",
    f"{_T}-refresh-token",
    f"{_T}-refresh-token-invalid-issuer",
    f"{_T}-refresh-token-invalid-sub",
    f"{_T}-rp-frontchannel-opinitlogout",
    f"{_T}-3rd-party-init-login",
    f"{_T}-session-management",
)
"""The other modules for relying parties: of no certification plan for the code flow."""

_NO_FRONT_TOKENS = "an implicit or hybrid flow's rule; only the code flow is built"

_NO_REQUEST_OBJECTS = "request objects are not built; pushed requests take their place"

SKIPPED: Mapping[str, str] = {
    f"{_T}-userinfo-bearer-body": "the header is used instead, the one way that RFC 6750 requires",
    f"{_T}-missing-chash": _NO_FRONT_TOKENS,
    f"{_T}-invalid-chash": _NO_FRONT_TOKENS,
    f"{_T}-missing-athash": f"{_NO_FRONT_TOKENS}, where at_hash is optional",
    f"{_T}-aggregated-claims": "optional (Core 5.6.2); such claims are kept as they came",
    f"{_T}-distributed-claims": "optional (Core 5.6.2); nothing is fetched from where they point",
    f"{_T}-mtls-endpoint-aliases": "client authentication by mutual TLS is not built",
    f"{_T}-discovery-webfinger-acct": "the issuer is configured, never guessed from a user's input",
    f"{_T}-discovery-webfinger-url": "the issuer is configured, never guessed from a user's input",
    f"{_T}-dynamic-registration": "clients are registered by hand, not by themselves",
    f"{_T}-request-uri-signed-rs256": _NO_REQUEST_OBJECTS,
    f"{_T}-request-uri-signed-none": _NO_REQUEST_OBJECTS,
    f"{_T}-3rd-party-init-login": "login initiated by a third party (Core 4) is not built",
    f"{_T}-session-management": "its frame needs third-party cookies; tabs hear from our bus",
}
"""The modules that no row names, each with the reason."""
