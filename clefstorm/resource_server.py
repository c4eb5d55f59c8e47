"""The resource server: an API of ours that others call with access tokens of one provider.

LAW: imports no web framework; keeps no token, only hashes of those that it asked about. A token
that can't be judged just now is not let in, and is not called bad either.
Source: RFC 6750; RFC 9068, 4 (JWT access tokens); RFC 7662, 2 and 4 (introspection).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

from clefstorm.errors import (
    ClefStormError,
    ConfigurationError,
    DocumentViolation,
    ProtocolViolation,
    RequestRefused,
    TransportError,
)
from clefstorm.keys import Key, KeyList
from clefstorm.protocol.access_token import AccessToken as AccessToken
from clefstorm.protocol.access_token import check_access_token, has_jwt_profile
from clefstorm.protocol.bearer import build_challenge, check_bearer
from clefstorm.protocol.client_auth import AUDIENCES, ClientAuthenticator
from clefstorm.protocol.exchange import Flow, fetch
from clefstorm.protocol.introspection import build_introspection_request, read_introspection
from clefstorm.protocol.jwt import ASYMMETRIC, check_leeway
from clefstorm.protocol.metadata import check_issuer, metadata_of
from clefstorm.protocol.provider_jwt import agreed_algorithms, verify_provider_jwt
from clefstorm.relying_party import Happening, Listener, tell
from clefstorm.transport import AsyncRunner, check_deadline

MOST_REMEMBERED = 1000
"""Tokens whose introspection is remembered; beyond, the one that was asked longest ago goes."""
MOST_ASKED = 100
"""Introspections under way at once; the others wait for their turn, within their deadline."""
MOST_WAITING = 1000
"""Introspections that wait; who asks for more is told to come again."""
LONGEST_MEMORY = 300.0
"""Seconds; a token that is revoked at the provider lives on here for as long."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    token: AccessToken
    asked: float
    until: float


@dataclass(frozen=True, slots=True)
class _Question:
    task: asyncio.Task[AccessToken]
    asked: float


class ResourceServer:
    """Judges the access tokens that one provider gave out for this API.

    ``issuer`` is the provider, ``audience`` what tokens call this API. A JWT access token is
    checked here; ``algorithms`` pins what may have signed it, None allows each asymmetric one
    that the provider announces. Every other token is introspected at the provider if there is a
    ``client_id`` with a ``client_secret`` or a ``client_key``, this API's own, otherwise refused.
    ``introspection_aud_required`` False believes an answer without aud, for a provider that
    knows by itself which tokens, and no refresh tokens, are for who asks. A yes is remembered
    for ``introspection_lifetime`` seconds (0: not at all), never past the token's end. ``realm``
    and ``resource_metadata`` (a URL, RFC 9728) stand in challenges. ``leeway``, ``timeout`` (one
    request) and ``deadline`` (one token) are in seconds; ``verify_ssl`` is True, False (never in
    production) or a file of CAs. Raises ConfigurationError.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str,
        algorithms: Collection[str] | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        client_key: Key | KeyList | None = None,
        token_endpoint_auth_method: str | None = None,
        introspection_aud_required: bool = True,
        introspection_lifetime: float = 10.0,
        realm: str = "api",
        resource_metadata: str | None = None,
        leeway: float = 60.0,
        timeout: float | tuple[float, float] | None = None,
        deadline: float = 10.0,
        verify_ssl: bool | str = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = check_issuer(issuer)
        if not isinstance(audience, str) or not audience:
            raise ConfigurationError(
                "audience is what the provider's tokens call this API", code="audience_invalid"
            )
        if algorithms is not None and (
            isinstance(algorithms, str) or not algorithms or not ASYMMETRIC.issuperset(algorithms)
        ):
            raise ConfigurationError(
                "algorithms is a list of asymmetric ones",
                code="alg_unknown",
                expected=", ".join(sorted(ASYMMETRIC)),
                got=algorithms,
            )
        if not 0 <= introspection_lifetime <= LONGEST_MEMORY:
            raise ConfigurationError(
                "introspection_lifetime is a few seconds",
                code="introspection_lifetime_invalid",
                expected=f"0 to {LONGEST_MEMORY:.0f}",
                got=introspection_lifetime,
            )
        self.audience = audience
        self.leeway = check_leeway(leeway)
        self.clock = clock
        self.listeners: list[Listener] = []
        self._algorithms = algorithms
        self._client = None
        if client_id is not None:
            self._client = ClientAuthenticator(
                client_id=client_id,
                client_secret=client_secret,
                client_key=client_key,
                method=token_endpoint_auth_method,
                audience=AUDIENCES[0],
            )
        if (client_id is None) != (client_secret is None and client_key is None):
            raise ConfigurationError(
                "introspection needs a client_id, and with it a client_secret or a client_key",
                code="introspection_credentials",
            )
        self._aud_required = introspection_aud_required
        self._lifetime = introspection_lifetime
        self._challenge = {"realm": realm, "resource_metadata": resource_metadata}
        self.challenge()  # So that what no header can carry is told of now.
        self._deadline = check_deadline(deadline)
        self._runner = AsyncRunner(verify=verify_ssl, timeout=timeout, clock=clock)
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._asked: dict[bytes, _Question] = {}
        self._tasks: set[asyncio.Task[AccessToken]] = set()
        self._places = asyncio.Semaphore(MOST_ASKED)

    def __repr__(self) -> str:
        return f"<ResourceServer {self.audience} of {self.issuer}>"

    def challenge(self, **parameters: str | None) -> str:
        """Return the value of WWW-Authenticate for a refusal (RFC 6750, section 3)."""
        return build_challenge("Bearer", **self._challenge, **parameters)

    async def check(self, token: str) -> AccessToken:
        """Return what an access token stands for, after every check.

        Raises RequestRefused for what is no token at all, ProtocolViolation for one that is not
        good; DocumentViolation (also a ProtocolViolation), TransportError or ProviderError
        (``introspection_refused``) when it can't be judged now, ConfigurationError when it never
        can. Each refusal is told to the listeners.
        """
        try:
            check_bearer(token)
            if has_jwt_profile(token, issuer=self.issuer):
                return await self._run(self._verified(token), deadline=self._deadline)
            return await self._introspected(token)
        except ClefStormError as error:
            self.record_refusal(error)
            raise

    def record_refusal(self, error: ClefStormError) -> None:
        """Tell the listeners that a token was refused (``bearer_refused``), or wasn't judged."""
        judged = isinstance(error, ProtocolViolation | RequestRefused)
        judged = judged and not isinstance(error, DocumentViolation)
        self.record("bearer_refused" if judged else "bearer_not_judged", code=error.code)

    def record(self, event: str, **facts: object) -> None:
        """Tell the listeners what happened; facts are no secrets."""
        shown = {name: str(value) for name, value in facts.items()}
        tell(self.listeners, Happening(at=self.clock(), event=event, facts=shown))

    async def close(self) -> None:
        """Close the connections to the provider; what is under way fails with ConnectFailed."""
        await self._runner.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, flow: Flow[AccessToken], *, deadline: float) -> AccessToken:
        return await self._runner.run(flow, deadline=deadline)

    def _verified(self, token: str) -> Flow[AccessToken]:
        metadata = yield from metadata_of(self.issuer)
        if metadata.jwks_uri is None:
            raise DocumentViolation(
                "the provider publishes no keys (jwks_uri)", code="jwks_uri_missing"
            )
        algorithms = agreed_algorithms(self._algorithms, metadata)
        header, claims = yield from verify_provider_jwt(token, metadata, algorithms=algorithms)
        return check_access_token(
            claims,
            header=header,
            issuer=self.issuer,
            audience=self.audience,
            now=self.clock(),
            leeway=self.leeway,
        )

    async def _introspected(self, token: str) -> AccessToken:
        """Ask the provider, once for all who bring the token now, unless it said yes just now.

        "Now" is the lifetime of a yes: what was asked longer ago may have been answered before a
        revocation. Each caller gets a value of its own, whose claims it may change.
        """
        if self._client is None:
            raise ProtocolViolation(
                "not a JWT access token (RFC 9068); without a client_id nothing is introspected",
                code="token_not_jwt",
            )
        name = hashlib.sha256(token.encode()).digest()
        known = self._remembered.get(name)
        if known is not None and known.asked <= self.clock() < known.until:
            return deepcopy(known.token)
        question = self._asked.get(name)
        if question is None or not question.asked <= self.clock() < question.asked + self._lifetime:
            if len(self._tasks) >= MOST_ASKED + MOST_WAITING:
                raise TransportError("too many tokens to ask about", code="introspection_busy")
            task = asyncio.create_task(self._ask(name, token, self._client))
            question = self._asked[name] = _Question(task, self.clock())
            self._tasks.add(task)
            task.add_done_callback(partial(self._answered, name))
        # Whoever is cancelled must not take the answer from the others.
        return deepcopy(await asyncio.shield(question.task))

    async def _ask(self, name: bytes, token: str, client: ClientAuthenticator) -> AccessToken:
        now = asyncio.get_running_loop().time
        ends = now() + self._deadline
        try:
            async with asyncio.timeout_at(ends):
                await self._places.acquire()
        except TimeoutError:
            raise TransportError(
                "too many tokens to ask about before this one", code="introspection_busy"
            ) from None
        try:
            asked = self.clock()
            found = await self._run(self._introspection(token, client), deadline=ends - now())
        finally:
            self._places.release()
        until = min(asked + self._lifetime, float("inf") if found.exp is None else found.exp)
        if until > asked:
            self._remembered[name] = _Remembered(found, asked, until)
            self._remembered.move_to_end(name)
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    def _answered(self, name: bytes, task: asyncio.Task[AccessToken]) -> None:
        self._tasks.remove(task)
        question = self._asked.get(name)
        if question is not None and question.task is task:
            del self._asked[name]
        if not task.cancelled():
            task.exception()  # Looked at, also when everybody who waited has left.

    def _introspection(self, token: str, client: ClientAuthenticator) -> Flow[AccessToken]:
        metadata = yield from metadata_of(self.issuer)
        endpoint = metadata.introspection_endpoint
        if endpoint is None:
            raise ConfigurationError(
                "this provider's metadata has no introspection_endpoint: leave out client_id",
                code="introspection_unsupported",
            )
        authentication = client.authenticate(metadata, endpoint, self.clock())
        response = yield from fetch(
            build_introspection_request(endpoint, token, authentication=authentication)
        )
        return read_introspection(
            response,
            issuer=self.issuer,
            audience=self.audience,
            aud_required=self._aud_required,
            now=self.clock(),
            leeway=self.leeway,
        )
