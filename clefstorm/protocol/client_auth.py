"""How the relying party shows the token endpoint who it is.

LAW: the client secret goes into a request to the provider's own endpoint and nowhere else.
Source: RFC 6749, section 2.3.1; OpenID Connect Core 1.0, section 9.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus

from clefstorm.errors import ConfigurationError

METHODS = ("client_secret_basic", "client_secret_post", "none")


def choose_method(
    configured: str | None, *, supported: Sequence[str], client_secret: str | None
) -> str:
    """Return the token_endpoint_auth_method to use.

    The configured one wins. Without a secret it is ``none``; else the first of ours that the
    provider supports, where an empty ``supported`` means client_secret_basic (Discovery 1.0,
    section 3). Raises ConfigurationError when nothing fits.
    """
    if configured is not None:
        if configured not in METHODS:
            raise ConfigurationError(
                "this token_endpoint_auth_method is not one of ours",
                code="auth_method_unknown",
                expected=" or ".join(METHODS),
                got=configured,
            )
        if configured != "none" and client_secret is None:
            raise ConfigurationError(
                "this token_endpoint_auth_method needs a client_secret",
                code="client_secret_missing",
                got=configured,
            )
        return configured
    if client_secret is None:
        return "none"
    for method in METHODS[:2]:
        if method in (supported or ("client_secret_basic",)):
            return method
    raise ConfigurationError(
        "the provider supports no way of client authentication that clefstorm has",
        code="auth_method_unsupported",
        expected=" or ".join(METHODS),
        got=", ".join(supported),
    )


def client_authentication(
    method: str, *, client_id: str, client_secret: str | None
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the headers and the form fields that authenticate the client."""
    if method == "client_secret_basic" and client_secret is not None:
        # Both parts are form-encoded first, so that a colon in them is not taken for ours.
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        basic = base64.b64encode(pair.encode("ascii")).decode("ascii")
        return {"Authorization": f"Basic {basic}"}, {}
    if method == "client_secret_post" and client_secret is not None:
        return {}, {"client_id": client_id, "client_secret": client_secret}
    return {}, {"client_id": client_id}
