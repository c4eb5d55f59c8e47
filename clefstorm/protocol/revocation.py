"""Telling a provider that a token is no longer wanted.

LAW: the token goes into the body of a request to the provider that gave it, and nowhere else.
Source: RFC 7009.
"""

from __future__ import annotations

from collections.abc import Collection

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.form_request import Authentication, build_form_request
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.oauth_error import read_oauth_error

LARGEST_REVOCATION_ANSWER = 16 * 1024
"""Bytes; nothing in a good answer is read."""

_DONE = (200, 204)
_REFUSALS = (400, 401, 403)
_TOO_MANY_REQUESTS = 429


def revocation_endpoint_of(metadata: ProviderMetadata) -> str:
    """Return it. Raises ConfigurationError (``revocation_unsupported``) when there is none."""
    if metadata.revocation_endpoint is None:
        raise ConfigurationError(
            "this provider's metadata has no revocation_endpoint: it can't be told to revoke",
            code="revocation_unsupported",
        )
    return metadata.revocation_endpoint


def build_revocation_request(
    revocation_endpoint: str,
    token: str,
    *,
    token_type_hint: str | None,
    authentication: Authentication,
) -> Request:
    """Build the request; the hint is refresh_token or access_token, None for no hint."""
    form = {"token": token}
    if token_type_hint is not None:
        form["token_type_hint"] = token_type_hint
    return build_form_request(
        revocation_endpoint, form, authentication, max_bytes=LARGEST_REVOCATION_ANSWER
    )


def check_revocation_response(response: Response, *, secrets: Collection[str | None] = ()) -> None:
    """Return when the token is revoked, or was no token any more: the provider says no more.

    Raises ProviderError (``revocation_refused``) when it said no, and ProtocolViolation:
    ``revocation_unavailable`` when it can't now, so that the token lives on and another try is
    worth it (section 2.2.1), ``revocation_answer_status`` for anything else.
    """
    if response.status in _DONE:
        return
    if response.status in _REFUSALS:
        refused = read_oauth_error(response, secrets)
        if refused is not None:
            raise ProviderError(
                "the provider refused to revoke the token",
                error=refused.error,
                error_description=refused.description,
                code="revocation_refused",
            )
    later = response.status >= 500 or response.status == _TOO_MANY_REQUESTS
    raise ProtocolViolation(
        "the revocation endpoint did not revoke the token",
        code="revocation_unavailable" if later else "revocation_answer_status",
        expected=200,
        got=response.status,
    )
