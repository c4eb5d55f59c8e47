"""A JWT that a provider signed: which algorithms were agreed, and the key that its kid names.

LAW: the algorithm is one that was pinned, or one of ours that the provider announces, and it is
judged before any key is fetched, so that a forged header costs the provider nothing.
Source: RFC 8725, 3.1-3.2; OpenID Connect Core 1.0, 10.1 and 15.1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import Flow
from clefstorm.protocol.jwks import keys_of
from clefstorm.protocol.jwt import ASYMMETRIC, check_alg, read_jwt_header, verify_jwt
from clefstorm.protocol.metadata import ProviderMetadata

# One scheme under two names (RFC 9864, section 2.2).
_ED25519 = frozenset({"EdDSA", "Ed25519"})

_OF_OLD_KEYS = frozenset({"signature_invalid", "key_unfit"})


def agreed_algorithms(pinned: Collection[str] | None, metadata: ProviderMetadata) -> frozenset[str]:
    """Return the algorithms that a provider's tokens may be signed with.

    ``pinned`` None allows each asymmetric one that the provider announces for its id tokens.
    """
    if pinned is not None:
        algorithms = frozenset(pinned)
    else:
        announced = metadata.id_token_signing_alg_values_supported
        # Without the list, RS256 is what every provider must have (Core, section 15.1).
        algorithms = ASYMMETRIC.intersection(announced or ("RS256",))
    return algorithms if algorithms.isdisjoint(_ED25519) else algorithms | _ED25519


def verify_provider_jwt(
    token: str,
    metadata: ProviderMetadata,
    *,
    algorithms: frozenset[str],
    first_hand: bool = False,
) -> Flow[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return header and claims of a token that the provider signed; no claim was judged.

    ``first_hand``: the provider itself gave it to us, in the answer to a request of ours. Raises
    ProtocolViolation as ``check_alg``, ``keys_of`` and ``verify_jwt`` do.
    """
    header = read_jwt_header(token)
    check_alg(header, algorithms)
    kid = header.get("kid")
    keys = yield from keys_of(metadata.jwks_uri, kid, first_hand=first_hand)
    try:
        return header, verify_jwt(token, keys, algorithms=algorithms)
    except ProtocolViolation as error:
        # Without a kid a rotated key shows in this way alone (Core, section 10.1.1).
        if kid is not None or error.code not in _OF_OLD_KEYS:
            raise
        refusal = error
    newer = yield from keys_of(metadata.jwks_uri, None, first_hand=first_hand, instead_of=keys)
    if newer is keys:
        raise refusal
    return header, verify_jwt(token, newer, algorithms=algorithms)
