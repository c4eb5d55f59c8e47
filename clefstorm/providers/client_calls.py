"""The calls to a provider for which a client has to prove itself: push, exchange, refresh, revoke.

LAW: flows alone; each request is authenticated anew, so that no assertion is sent twice, and no
secret of a request comes back in an error. What the answers mean is decided elsewhere.
Source: RFC 6749, sections 4.1.3 and 6; RFC 7009; RFC 7523, section 2.2; RFC 9126.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clefstorm.protocol.authorization import CodeGrant, build_authorization_url
from clefstorm.protocol.client_auth import ClientAuthenticator
from clefstorm.protocol.exchange import Flow, fetch
from clefstorm.protocol.form_request import Authentication
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.pushed_authorization import (
    build_pushed_authorization_url,
    build_pushed_request,
    pushed_endpoint,
    read_pushed_response,
)
from clefstorm.protocol.revocation import (
    build_revocation_request,
    check_revocation_response,
    revocation_endpoint_of,
)
from clefstorm.protocol.token_endpoint import (
    Tokens,
    build_code_request,
    build_refresh_request,
    read_token_response,
)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class ClientCalls:
    """The calls of one client. ``clock`` gives epoch seconds."""

    client: ClientAuthenticator

    def authorization_url(
        self,
        metadata: ProviderMetadata,
        parameters: Mapping[str, str],
        *,
        push: bool | None,
        clock: Clock,
    ) -> Flow[str]:
        """Return where to send the browser; ``push`` is the ``wanted`` of pushed_endpoint.

        Whatever goes wrong with a push is raised: to send the parameters through the browser
        instead would give away what was to be kept from it.
        """
        # A way of authentication that the provider doesn't take is told of before anybody leaves.
        self.client.check(metadata)
        endpoint = pushed_endpoint(metadata, wanted=push)
        if endpoint is None:
            return build_authorization_url(metadata, parameters)
        authentication = self.client.authenticate(metadata, endpoint, clock())
        response = yield from fetch(build_pushed_request(endpoint, parameters, authentication))
        request_uri = read_pushed_response(response, secrets=self._secrets(authentication))
        return build_pushed_authorization_url(
            metadata, client_id=self.client.client_id, request_uri=request_uri
        )

    def exchange(
        self, metadata: ProviderMetadata, grant: CodeGrant, *, clock: Clock
    ) -> Flow[Tokens]:
        """Exchange a code."""
        endpoint = metadata.token_endpoint
        authentication = self.client.authenticate(metadata, endpoint, clock())
        response = yield from fetch(build_code_request(endpoint, grant, authentication))
        secrets = self._secrets(authentication, grant.code, grant.code_verifier)
        return read_token_response(response, now=clock(), secrets=secrets)

    def refresh(
        self, metadata: ProviderMetadata, refresh_token: str, *, clock: Clock
    ) -> Flow[Tokens]:
        """Exchange a refresh token."""
        endpoint = metadata.token_endpoint
        authentication = self.client.authenticate(metadata, endpoint, clock())
        response = yield from fetch(build_refresh_request(endpoint, refresh_token, authentication))
        secrets = self._secrets(authentication, refresh_token)
        return read_token_response(response, now=clock(), secrets=secrets)

    def revoke(
        self, metadata: ProviderMetadata, token: str, *, token_type_hint: str | None, clock: Clock
    ) -> Flow[None]:
        """Revoke a token."""
        endpoint = revocation_endpoint_of(metadata)
        authentication = self.client.authenticate(metadata, endpoint, clock())
        request = build_revocation_request(
            endpoint, token, token_type_hint=token_type_hint, authentication=authentication
        )
        response = yield from fetch(request)
        check_revocation_response(response, secrets=self._secrets(authentication, token))

    def _secrets(self, authentication: Authentication, *others: str) -> tuple[str | None, ...]:
        headers, fields = authentication
        # As it stands in the header, after its scheme.
        basic = headers.get("Authorization", "").rpartition(" ")[2]
        return (*others, self.client.client_secret, fields.get("client_assertion"), basic)
