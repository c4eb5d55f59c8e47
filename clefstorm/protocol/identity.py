"""Who signed in: the claims of the id token and of the userinfo endpoint.

LAW: a userinfo answer counts only for the subject of the id token beside it.
Source: OpenID Connect Core 1.0, sections 5.3 and 5.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from clefstorm.errors import ProtocolViolation, ProviderError
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.strict_json import read_json_object

LARGEST_PROFILE = 64 * 1024
"""Bytes of a userinfo answer: it is kept with the session and read at every request."""

# What the id token says of itself can't be replaced by what userinfo says.
_OF_THE_TOKEN = frozenset(
    {"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "acr", "amr",
     "sid", "at_hash", "c_hash", "s_hash"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person as one provider knows them: (iss, sub) names them for good (Core, section 5.7)."""

    iss: str
    sub: str
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def with_userinfo(self, userinfo: Mapping[str, Any]) -> Identity:
        """Return the identity with the userinfo's claims added; the id token's own ones stay."""
        added = {name: value for name, value in userinfo.items() if name not in _OF_THE_TOKEN}
        return Identity(iss=self.iss, sub=self.sub, claims={**self.claims, **added})


def build_userinfo_request(
    userinfo_endpoint: str, access_token: str, *, signed: bool = False
) -> Request:
    """Build the request to the userinfo endpoint (Core, section 5.3.1; RFC 6750, section 2.1).

    ``signed``: the answer that was agreed is a token.
    """
    return Request(
        method="GET",
        url=userinfo_endpoint,
        headers={
            "Accept": "application/jwt" if signed else "application/json",
            "Authorization": f"Bearer {access_token}",
        },
        max_bytes=LARGEST_PROFILE,
    )


def _check_status(response: Response) -> None:
    if response.status in (401, 403):
        raise ProviderError(
            "the provider would not say who the user is",
            error="invalid_token" if response.status == 401 else "insufficient_scope",
            code="userinfo_refused",
            got=response.status,
        )
    if response.status != 200:
        raise ProtocolViolation(
            "the userinfo endpoint gave no answer that could be used",
            code="userinfo_status",
            expected=200,
            got=response.status,
        )


def read_profile(response: Response) -> Mapping[str, Any]:
    """Read a JSON object about the user.

    Raises ProviderError (``userinfo_refused``) for 401 and 403, ProtocolViolation for anything
    else that is not JSON with status 200.
    """
    _check_status(response)
    if response.media_type == "application/jwt":
        raise ProtocolViolation(
            "a signed userinfo answer, where none was agreed: configure the provider's "
            "userinfo_signed_response_alg, or register the client without it",
            code="userinfo_signed",
        )
    return read_json_object(response.body)


def read_userinfo_token(response: Response) -> str:
    """Return the token that a userinfo answer is (Core, section 5.3.2); nobody has judged it.

    Raises as ``read_profile`` does, and ProtocolViolation (``userinfo_not_signed``) for an
    answer that is none.
    """
    _check_status(response)
    if response.media_type != "application/jwt" or not response.body.isascii():
        raise ProtocolViolation(
            "the userinfo answer was to be signed, and is not",
            code="userinfo_not_signed",
            expected="application/jwt",
            got=response.media_type,
        )
    return response.body.decode("ascii").strip()


def read_userinfo(response: Response, *, sub: str) -> Mapping[str, Any]:
    """Read the userinfo answer for the subject of an id token (Core, section 5.3.2).

    Raises as ``read_profile`` and ``check_userinfo_sub`` do.
    """
    return check_userinfo_sub(read_profile(response), sub=sub)


def check_userinfo_sub(userinfo: Mapping[str, Any], *, sub: str) -> Mapping[str, Any]:
    """Return the userinfo, which must be about the subject of the id token.

    Raises ProtocolViolation (``userinfo_sub_mismatch``).
    """
    if userinfo.get("sub") != sub:
        raise ProtocolViolation(
            "the userinfo answer is about somebody else",
            code="userinfo_sub_mismatch",
            expected=sub,
            got=userinfo.get("sub"),
        )
    return userinfo
