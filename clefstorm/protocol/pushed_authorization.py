"""Pushed authorization requests: the parameters go to the provider, the browser gets a name.

LAW: a request_uri comes from a 201 of the provider that was asked, in strict JSON, and from
nowhere else; whoever sees the browser's URL learns nothing of the request and can't change it.
Source: RFC 9126, sections 2 and 4; RFC 9101, section 5 (request_uri).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlencode

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError
from clefstorm.protocol.authorization import with_query
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.form_request import Authentication, build_form_request
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.oauth_error import read_oauth_error
from clefstorm.protocol.strict_json import read_json_object

LARGEST_PUSHED_ANSWER = 16 * 1024
"""Bytes of an answer."""

LONGEST_REQUEST_URI = 2048
"""Characters; the browser has to carry it in a URL."""

LONGEST_REQUEST_LIFETIME = 86400
"""Seconds; a request that could be used later than this is no short-lived one."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+")
_REFUSALS = (400, 401, 403, 413, 429)


def pushed_endpoint(metadata: ProviderMetadata, *, wanted: bool | None) -> str | None:
    """Return where to push the request; None when it goes through the browser.

    ``wanted`` None pushes wherever the provider offers it. Raises ConfigurationError for a
    provider that requires what is switched off (``pushed_requests_required``), or doesn't offer
    what is switched on (``pushed_requests_unsupported``).
    """
    endpoint = metadata.pushed_authorization_request_endpoint
    if wanted is False and metadata.require_pushed_authorization_requests:
        raise ConfigurationError(
            "this provider takes pushed authorization requests alone: leave "
            "pushed_authorization_requests out",
            code="pushed_requests_required",
        )
    if endpoint is None and (wanted or metadata.require_pushed_authorization_requests):
        raise ConfigurationError(
            "this provider's metadata has no pushed_authorization_request_endpoint",
            code="pushed_requests_unsupported",
        )
    return None if wanted is False else endpoint


def build_pushed_request(
    endpoint: str, parameters: Mapping[str, str], authentication: Authentication
) -> Request:
    """Build the request that pushes the parameters of an authorization request (section 2.1)."""
    return build_form_request(endpoint, parameters, authentication, max_bytes=LARGEST_PUSHED_ANSWER)


def read_pushed_response(response: Response, *, secrets: Collection[str | None] = ()) -> str:
    """Return the request_uri of an answer (section 2.2).

    Raises ProviderError (``pushed_request_refused``) when the provider said no, and
    ProtocolViolation: ``pushed_answer_status``, ``pushed_answer_member`` for a request_uri that
    is none or an expires_in that is no short time, json_….
    """
    if response.status in _REFUSALS:
        refused = read_oauth_error(response, secrets)
        if refused is not None:
            raise ProviderError(
                "the provider refused the pushed authorization request",
                error=refused.error,
                error_description=refused.description,
                code="pushed_request_refused",
            )
    if response.status != 201:
        raise ProtocolViolation(
            "the provider gave no answer to the pushed request that could be used",
            code="pushed_answer_status",
            expected=201,
            got=response.status,
        )
    answer = read_json_object(response.body)
    request_uri, lifetime = answer.get("request_uri"), answer.get("expires_in")
    if (
        not isinstance(request_uri, str)
        or len(request_uri) > LONGEST_REQUEST_URI
        or not _URI.fullmatch(request_uri)
    ):
        raise _unusable("request_uri")
    if (
        isinstance(lifetime, bool)
        or not isinstance(lifetime, int)
        or not 0 < lifetime <= LONGEST_REQUEST_LIFETIME
    ):
        raise _unusable("expires_in")
    return request_uri


def _unusable(name: str) -> ProtocolViolation:
    return ProtocolViolation(
        "the answer to the pushed request has a member that can't be used",
        code="pushed_answer_member",
        name=name,
    )


def build_pushed_authorization_url(
    metadata: ProviderMetadata, *, client_id: str, request_uri: str
) -> str:
    """Return the URL to send the browser to: it carries these two and nothing else (section 4)."""
    query = urlencode({"client_id": client_id, "request_uri": request_uri})
    return with_query(metadata.authorization_endpoint, query)
