"""How a client proves itself to the embedded provider: by its secret, or by an assertion.

LAW: a client has the one method that it is registered for; an assertion is taken once.
Source: RFC 6749, section 2.3; RFC 7521, section 4.2; RFC 7523, section 3; OpenID Connect
Core 1.0, section 9.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from clefstorm.errors import ProtocolViolation, RequestRefused
from clefstorm.keys import HS256Key, HS384Key, HS512Key, VerificationKey
from clefstorm.protocol.client_assertion import ASSERTION_TYP, ASSERTION_TYPE
from clefstorm.protocol.jwks import KeySet, read_jwks
from clefstorm.protocol.jwt import (
    ASYMMETRIC,
    audiences_of,
    check_times,
    read_jwt_claims_unverified,
    read_jwt_header,
    text_claim,
    typ_of,
    verify_jwt,
)
from clefstorm.testing.provider.clients import Client

LONGEST_ASSERTION_LIFE = 300.0
"""Seconds from iat to exp."""
LEEWAY = 30.0

_HMAC_KEYS = {"HS256": HS256Key, "HS384": HS384Key, "HS512": HS512Key}


def _refuse(why: str) -> RequestRefused:
    return RequestRefused(why, code="invalid_client")


def _read_basic(authorization: str) -> tuple[str, str]:
    """Read RFC 6749's own form of basic authentication (section 2.3.1: form-encoded first)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _refuse("the Authorization header is not Basic")
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _refuse("the Authorization header can't be read") from None
    if not colon:
        raise _refuse("the Authorization header can't be read")
    return unquote_plus(name), unquote_plus(secret)


class ClientProofs:
    """Judges who calls; remembers the assertions that it has seen until they expire."""

    def __init__(self, clients: Mapping[str, Client], *, clock: Callable[[], float]) -> None:
        self._clients = clients
        self._clock = clock
        self._seen: dict[tuple[str, str], float] = {}

    def check(self, form: Mapping[str, str], authorization: str | None, *, issuer: str) -> Client:
        """Return the client that made this call of an endpoint for clients.

        ``authorization`` is the header's value, None where absent. Raises RequestRefused:
        ``invalid_client``, or ``invalid_request`` for two methods at once.
        """
        proofs = (authorization, form.get("client_secret"), form.get("client_assertion"))
        if sum(proof is not None for proof in proofs) > 1:
            raise RequestRefused(
                "the client used two ways to prove itself at once", code="invalid_request"
            )
        if form.get("client_assertion") is not None:
            return self._check_assertion(form, issuer=issuer)
        return self._check_secret(form, authorization)

    def _check_secret(self, form: Mapping[str, str], authorization: str | None) -> Client:
        client_id, client_secret = form.get("client_id"), form.get("client_secret")
        if authorization is not None:
            method = "client_secret_basic"
            name, secret = _read_basic(authorization)
            if client_id not in (None, name):
                raise RequestRefused("client_id stands twice and differs", code="invalid_request")
        else:
            method = "none" if client_secret is None else "client_secret_post"
            name, secret = client_id or "", client_secret or ""
        client = self._registered(name, method)
        if method != "none" and not hmac.compare_digest(
            (client.client_secret or "").encode(), secret.encode()
        ):
            raise _refuse("the client_secret is wrong")
        return client

    def _registered(self, client_id: str, *methods: str) -> Client:
        client = self._clients.get(client_id)
        if client is None:
            raise _refuse("no client is registered under this client_id")
        if client.token_endpoint_auth_method not in methods:
            raise _refuse(f"this client is registered for {client.token_endpoint_auth_method}")
        return client

    def _check_assertion(self, form: Mapping[str, str], *, issuer: str) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise RequestRefused("no such client_assertion_type", code="invalid_request")
        assertion = form["client_assertion"]
        try:
            header = read_jwt_header(assertion)
            name = text_claim(read_jwt_claims_unverified(assertion), "sub", required=True)
            client = self._registered(name, "private_key_jwt", "client_secret_jwt")
            claims = verify_jwt(assertion, _keys_of(client, header), algorithms=_algs_of(client))
            self._check_claims(claims, header, client, issuer=issuer)
        except ProtocolViolation as violation:
            raise _refuse(f"the assertion is not good: {violation.code}") from None
        if form.get("client_id") not in (None, client.client_id):
            raise RequestRefused("client_id and the assertion differ", code="invalid_request")
        return client

    def _check_claims(
        self, claims: Mapping[str, Any], header: Mapping[str, Any], client: Client, *, issuer: str
    ) -> None:
        if typ_of(header) not in (None, "jwt", ASSERTION_TYP):
            raise _refuse("the assertion is another kind of token")
        if text_claim(claims, "iss", required=True) != client.client_id:
            raise _refuse("the assertion's iss is not the client_id")
        # The token endpoint is what the first edition of RFC 7523 suggests.
        if len(audiences := audiences_of(claims)) != 1 or audiences[0] not in (
            issuer,
            f"{issuer}/token",
        ):
            raise _refuse("the assertion's aud is not this provider alone")
        now = self._clock()
        issued, expires = check_times(claims, now=now, leeway=LEEWAY)
        if expires - issued > LONGEST_ASSERTION_LIFE:
            raise _refuse("the assertion lives too long")
        self._take(client.client_id, text_claim(claims, "jti", required=True), expires + LEEWAY)

    def _take(self, client_id: str, jti: str, until: float) -> None:
        now = self._clock()
        self._seen = {name: end for name, end in self._seen.items() if end > now}
        if (client_id, jti) in self._seen:
            raise _refuse("the assertion was used before")
        self._seen[client_id, jti] = until


def _algs_of(client: Client) -> frozenset[str]:
    if client.token_endpoint_auth_signing_alg is not None:
        return frozenset({client.token_endpoint_auth_signing_alg})
    by_secret = client.token_endpoint_auth_method == "client_secret_jwt"
    return frozenset(_HMAC_KEYS) if by_secret else ASYMMETRIC


def _keys_of(client: Client, header: Mapping[str, Any]) -> KeySet:
    if client.token_endpoint_auth_method == "private_key_jwt":
        return read_jwks(json.dumps(client.jwks).encode())
    kind = _HMAC_KEYS.get(header["alg"], HS256Key)
    return KeySet((VerificationKey.of(kind(client.client_secret or "", kid=header.get("kid"))),))
