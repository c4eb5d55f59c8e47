"""A provider's metadata: where its endpoints are and what it can do.

LAW: reads and judges the discovery document; fetches nothing.
Source: OpenID Connect Discovery 1.0, sections 3 and 4.3; RFC 8414; RFC 9126, section 5;
RFC 9207, section 3.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.exchange import Flow, MetadataWanted, Request, Response
from clefstorm.protocol.strict_json import read_json_object

LARGEST_DOCUMENT = 256 * 1024
"""Bytes of a discovery document that we agree to read."""

_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "end_session_endpoint",
    "revocation_endpoint",
    "pushed_authorization_request_endpoint",
    "introspection_endpoint",
)
_SWITCHES = (
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
)
_WELL_KNOWN = "/.well-known/openid-configuration"

# Stricter than urlsplit, so that browsers, the transport and we see the same host.
_ABSOLUTE = re.compile(
    r"[a-z]+://(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\])"
    r"(?::[0-9]{1,5})?(?:[/?][\x21-\x5b\x5d-\x7e]*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderMetadata:
    """What a provider says of itself, checked; the names are those of Discovery 1.0, section 3.

    An endpoint that is None is not offered. ``document`` is the whole of it, for what is not
    named here.
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    revocation_endpoint: str | None = None
    pushed_authorization_request_endpoint: str | None = None
    introspection_endpoint: str | None = None
    id_token_signing_alg_values_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False
    require_pushed_authorization_requests: bool = False
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name or address is this machine, where plain http is no danger."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: object, *, name: str) -> str:
    """Return an absolute https URL (http only on loopback) without user info or fragment.

    Raises ProtocolViolation with the code ``url_unsafe`` or ``url_invalid``.
    """
    invalid = ProtocolViolation("not an absolute URL", code="url_invalid", name=name)
    if not isinstance(url, str):
        raise invalid
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if "[" in parts.netloc:
            # Before Python 3.11.4 urlsplit takes anything between brackets.
            ipaddress.IPv6Address(host)
    except ValueError:
        raise invalid from None
    if "@" in parts.netloc or "#" in url:
        raise ProtocolViolation("a URL with user info or a fragment", code="url_invalid", name=name)
    if not _ABSOLUTE.fullmatch(url) or port == 0:
        raise invalid
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return url
    raise ProtocolViolation(
        "plain http is for loopback alone"
        if parts.scheme == "http"
        else "it must begin with https://",
        code="url_unsafe",
        name=name,
        expected="https",
        got=f"{parts.scheme}://{host}",
    )


def check_issuer(issuer: str) -> str:
    """Return the configured issuer identifier when it can be one (Core 1.0, section 2).

    Raises ConfigurationError: the mistake is the application's.
    """
    reason = None
    try:
        check_url(issuer, name="issuer")
        if "?" in issuer:
            reason = "an issuer has no query"
        elif issuer.endswith(_WELL_KNOWN):
            reason = f"leave {_WELL_KNOWN} out"
    except ProtocolViolation as error:
        reason = error.message
    if reason is not None:
        raise ConfigurationError(
            "issuer is the provider's https address, just as its own metadata says it",
            code="issuer_invalid",
            reason=reason,
            # What stands before an @ may be a password.
            got=str(issuer).rpartition("@")[2],
        )
    return issuer


def discovery_request(issuer: str) -> Request:
    """Build the request for the issuer's discovery document (Discovery 1.0, section 4)."""
    return Request(
        method="GET",
        url=issuer.rstrip("/") + _WELL_KNOWN,
        headers={"Accept": "application/json"},
        max_bytes=LARGEST_DOCUMENT,
    )


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = document.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ProtocolViolation(
            "a list of strings was expected in the metadata", code="metadata_type", name=name
        )
    return tuple(values)


def _endpoint(document: Mapping[str, Any], name: str, *, issuer: str) -> str | None:
    url = document.get(name)
    if url is None:
        return None
    if not isinstance(url, str):
        raise ProtocolViolation(
            "a URL was expected in the metadata", code="metadata_type", name=name
        )
    check_url(url, name=name)
    if issuer.startswith("https:") and not url.startswith("https:"):
        raise ProtocolViolation(
            "an https issuer has https endpoints", code="url_unsafe", name=name, expected="https"
        )
    return url


def _switch(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name, False)
    if not isinstance(value, bool):
        raise ProtocolViolation(
            "true or false was expected in the metadata", code="metadata_type", name=name
        )
    return value


def read_metadata(response: Response, *, issuer: str) -> ProviderMetadata:
    """Read and judge a discovery document that was fetched for this issuer.

    Raises ProtocolViolation when it is not one, when it belongs to another issuer
    (Discovery 1.0, section 4.3), or when an endpoint is missing or plain http.
    """
    if response.status != 200:
        raise ProtocolViolation(
            "the provider's metadata could not be had",
            code="metadata_status",
            expected=200,
            got=response.status,
        )
    document = read_json_object(response.body)
    if document.get("issuer") != issuer:
        raise ProtocolViolation(
            "the metadata belongs to another issuer",
            code="metadata_issuer_mismatch",
            expected=issuer,
            got=document.get("issuer"),
        )
    endpoints = {name: _endpoint(document, name, issuer=issuer) for name in _ENDPOINTS}
    authorization_endpoint = endpoints["authorization_endpoint"]
    token_endpoint = endpoints["token_endpoint"]
    if authorization_endpoint is None or token_endpoint is None:
        raise ProtocolViolation(
            "an endpoint is missing in the metadata",
            code="metadata_missing",
            name="token_endpoint" if authorization_endpoint else "authorization_endpoint",
        )
    switches = {name: _switch(document, name) for name in _SWITCHES}
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=authorization_endpoint,
        token_endpoint=token_endpoint,
        jwks_uri=endpoints["jwks_uri"],
        userinfo_endpoint=endpoints["userinfo_endpoint"],
        end_session_endpoint=endpoints["end_session_endpoint"],
        revocation_endpoint=endpoints["revocation_endpoint"],
        pushed_authorization_request_endpoint=endpoints["pushed_authorization_request_endpoint"],
        introspection_endpoint=endpoints["introspection_endpoint"],
        id_token_signing_alg_values_supported=_texts(
            document, "id_token_signing_alg_values_supported"
        ),
        token_endpoint_auth_methods_supported=_texts(
            document, "token_endpoint_auth_methods_supported"
        ),
        token_endpoint_auth_signing_alg_values_supported=_texts(
            document, "token_endpoint_auth_signing_alg_values_supported"
        ),
        **switches,
        document=document,
    )


def metadata_of(issuer: str) -> Flow[ProviderMetadata]:
    """A flow that returns the issuer's metadata from wherever its driver keeps it."""
    answer = yield MetadataWanted(issuer)
    if not isinstance(answer, ProviderMetadata):
        raise TypeError("MetadataWanted is answered with ProviderMetadata")
    return answer
