"""Flows without a network: ``drive`` answers by hand what a flow asks for.

``Wire`` is the provider at the other end: it answers well until a test changes one thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs

from clefstorm.keys import Key, generate_key
from clefstorm.protocol.exchange import (
    Answer,
    Ask,
    Flow,
    KeysWanted,
    MetadataWanted,
    Request,
    Response,
)
from clefstorm.protocol.jwks import KeySet
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.metadata import ProviderMetadata

T = TypeVar("T")

NOW = 1_700_000_000.0
ISSUER = "https://id.example"
REDIRECT = "https://app.example/auth/callback"
SIGNING = generate_key("ES256", kid="k1")


def clock() -> float:
    """The time in all these tests."""
    return NOW


@dataclass
class Driven(Generic[T]):
    """What a flow returned, and what it had asked for."""

    result: T
    asks: list[Ask]


def drive(flow: Flow[T], answers: Callable[[Ask], Answer | Exception]) -> Driven[T]:
    """Run a flow to its end; an answer that is an exception is raised where the flow asked."""
    asks: list[Ask] = []
    try:
        ask = next(flow)
        while True:
            asks.append(ask)
            answer = answers(ask)
            ask = flow.throw(answer) if isinstance(answer, Exception) else flow.send(answer)
    except StopIteration as end:
        return Driven(end.value, asks)


def as_json(value: Any, *, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(
        status=status,
        headers={"content-type": "application/json"},
        body=json.dumps(value).encode(),
    )


def form_of(request: Request) -> dict[str, str]:
    """The fields of a request's body, each once."""
    fields = parse_qs((request.body or b"").decode("ascii"), strict_parsing=True)
    assert all(len(values) == 1 for values in fields.values())
    return {name: values[0] for name, values in fields.items()}


METADATA = ProviderMetadata(
    issuer=ISSUER,
    authorization_endpoint=f"{ISSUER}/authorize",
    token_endpoint=f"{ISSUER}/token",
    jwks_uri=f"{ISSUER}/jwks",
    userinfo_endpoint=f"{ISSUER}/userinfo",
    end_session_endpoint=f"{ISSUER}/end",
    id_token_signing_alg_values_supported=("ES256",),
)


@dataclass
class Wire:
    """An OpenID provider, answered by hand. ``asks`` are all asks that came."""

    metadata: ProviderMetadata = METADATA
    key: Key = SIGNING
    keys: KeySet = field(default_factory=lambda: KeySet.of([SIGNING]))
    token_answer: Response | None = None
    tokens: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    typ: str | None = "JWT"
    userinfo: Response = field(default_factory=lambda: as_json({"sub": "ann", "name": "Ann"}))
    nonce: str | None = None
    asks: list[Ask] = field(default_factory=list)

    def id_token(self) -> str:
        """An id token for Ann; ``claims`` change it, ``...`` leaves one out."""
        claims = {
            "iss": ISSUER,
            "sub": "ann",
            "aud": "app",
            "iat": NOW,
            "exp": NOW + 300,
            "nonce": self.nonce,
            **self.claims,
        }
        return build_jwt(
            {name: value for name, value in claims.items() if value not in (..., None)},
            self.key,
            typ=self.typ,
        )

    def __call__(self, ask: Ask) -> Answer | Exception:
        self.asks.append(ask)
        match ask:
            case MetadataWanted():
                assert ask.issuer == ISSUER
                return self.metadata
            case KeysWanted():
                return self.keys
        if ask.url == self.metadata.userinfo_endpoint:
            return self.userinfo
        assert ask.url == self.metadata.token_endpoint
        if self.token_answer is not None:
            return self.token_answer
        answer = {
            "access_token": "the-access-token",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": "the-refresh-token",
            "id_token": self.id_token(),
            **self.tokens,
        }
        return as_json({name: value for name, value in answer.items() if value is not ...})

    @property
    def requests(self) -> list[Request]:
        """The HTTP requests among the asks."""
        return [ask for ask in self.asks if isinstance(ask, Request)]
