"""The endpoints of the embedded provider that applications call: no pages, no cookies.

LAW: each answer is what its specification says, refusals too; what a test wants otherwise it
says through ``Provider.tamper``. Source: OpenID Connect Discovery 1.0, section 4; RFC 6749,
section 5; RFC 6750, section 3; OpenID Connect Core 1.0, section 5.3; RFC 7009.
"""

from __future__ import annotations

from typing import Any

from clefstorm.errors import RequestRefused
from clefstorm.jwe import ALGORITHMS, ENCRYPTIONS
from clefstorm.protocol.client_auth import METHODS
from clefstorm.protocol.jwt import ASYMMETRIC, HMAC, build_jwt
from clefstorm.testing.provider.api_tokens import as_the_client_wants
from clefstorm.testing.provider.authorization_request import PROMPTS, RESPONSE_MODES, SCOPES
from clefstorm.testing.provider.client_tokens import encrypted_for
from clefstorm.testing.provider.clients import SIGNING_ALGS, Client
from clefstorm.testing.provider.faults import Answer, tampered
from clefstorm.testing.provider.token_grants import IssuedTokens
from clefstorm.testing.provider.web import ProviderHandler

_GRANTS = ("authorization_code", "refresh_token", "client_credentials")


class DiscoveryHandler(ProviderHandler):
    """/.well-known/openid-configuration"""

    endpoint = "discovery"

    async def get(self) -> None:
        issuer = self.authority.issuer
        offered = {}
        if self.authority.pushed_authorization_requests:
            offered = {
                "pushed_authorization_request_endpoint": f"{issuer}/par",
                "require_pushed_authorization_requests": (
                    self.authority.require_pushed_authorization_requests
                ),
            }
        await self.give_json(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "userinfo_endpoint": f"{issuer}/userinfo",
                "jwks_uri": f"{issuer}/jwks",
                "end_session_endpoint": f"{issuer}/end_session",
                "revocation_endpoint": f"{issuer}/revoke",
                "introspection_endpoint": f"{issuer}/introspect",
                "scopes_supported": list(SCOPES),
                "response_types_supported": ["code"],
                "response_modes_supported": list(RESPONSE_MODES),
                "grant_types_supported": list(_GRANTS),
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": list(SIGNING_ALGS),
                "id_token_encryption_alg_values_supported": list(ALGORITHMS),
                "id_token_encryption_enc_values_supported": list(ENCRYPTIONS),
                "userinfo_signing_alg_values_supported": list(SIGNING_ALGS),
                "userinfo_encryption_alg_values_supported": list(ALGORITHMS),
                "userinfo_encryption_enc_values_supported": list(ENCRYPTIONS),
                "token_endpoint_auth_methods_supported": list(METHODS),
                "token_endpoint_auth_signing_alg_values_supported": sorted(ASYMMETRIC | HMAC),
                "revocation_endpoint_auth_methods_supported": list(METHODS),
                "introspection_endpoint_auth_methods_supported": list(METHODS),
                "code_challenge_methods_supported": ["S256"],
                "prompt_values_supported": list(PROMPTS),
                "claims_supported": [
                    *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "at_hash"),
                    *("name", "given_name", "family_name", "preferred_username", "picture"),
                    *("locale", "email", "email_verified"),
                ],
                "claims_parameter_supported": False,
                "request_parameter_supported": False,
                "request_uri_parameter_supported": False,
                "authorization_response_iss_parameter_supported": True,
                "backchannel_logout_supported": True,
                "backchannel_logout_session_supported": True,
                "frontchannel_logout_supported": True,
                "frontchannel_logout_session_supported": True,
                **offered,
            }
        )


class JWKSHandler(ProviderHandler):
    """/jwks"""

    endpoint = "jwks"

    async def get(self) -> None:
        await self.give_json(self.authority.keys.jwks())


class ClientHandler(ProviderHandler):
    """An endpoint for clients that prove themselves; a browser's cookies mean nothing here."""

    def check_xsrf_cookie(self) -> None:
        """Not needed: no cookie is read."""

    def check_trusted_origin(self, origin: str) -> bool:
        return True

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Pragma", "no-cache")

    def authenticated_client(self, form: dict[str, str]) -> Client:
        """Return the client that calls. Raises RequestRefused."""
        return self.authority.proofs.check(
            form, self.request.headers.get("Authorization"), issuer=self.authority.issuer
        )

    def refuse(self, refusal: RequestRefused) -> None:
        """Answer with an OAuth error (RFC 6749, section 5.2)."""
        self.error = refusal.code
        self.set_status(400)
        if refusal.code == "invalid_client":
            self.set_status(401)
            self.set_header("WWW-Authenticate", 'Basic realm="clients"')
        self.finish({"error": refusal.code, "error_description": refusal.message})


def required(form: dict[str, str], name: str) -> str:
    """Return a field that must be there. Raises RequestRefused (``invalid_request``)."""
    if name not in form:
        raise RequestRefused(f"{name} is missing", code="invalid_request")
    return form[name]


class TokenHandler(ClientHandler):
    """/token"""

    endpoint = "token"

    async def post(self) -> None:
        try:
            form = self.form()
            self.grant_type = required(form, "grant_type")
            client = self.authenticated_client(form)
            issued = self._redeem(form, client)
            issued = await as_the_client_wants(self.authority, client, issued)
        except RequestRefused as refusal:
            self.refuse(refusal)
            return
        answer: dict[str, Any] = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": " ".join(issued.scope),
        }
        if issued.grant.username:
            answer["id_token"] = await self.authority.id_token(client, issued)
        if issued.refresh_token is not None:
            answer["refresh_token"] = issued.refresh_token
        await self.give_json(answer)

    def _redeem(self, form: dict[str, str], client: Client) -> IssuedTokens:
        if self.grant_type == "authorization_code":
            return self.authority.grants.redeem_code(
                required(form, "code"),
                client_id=client.client_id,
                redirect_uri=required(form, "redirect_uri"),
                code_verifier=required(form, "code_verifier"),
            )
        if self.grant_type == "refresh_token":
            scope = form.get("scope")
            return self.authority.grants.redeem_refresh_token(
                required(form, "refresh_token"),
                client_id=client.client_id,
                scope=None if scope is None else scope.split(),
            )
        if self.grant_type == "client_credentials":
            return self._issue_to(client, form.get("scope", "").split())
        raise RequestRefused("this grant_type is not served", code="unsupported_grant_type")

    def _issue_to(self, client: Client, scope: list[str]) -> IssuedTokens:
        if client.token_endpoint_auth_method == "none":
            raise RequestRefused("a public client has no token", code="unauthorized_client")
        if not set(scope) <= set(client.api_scopes):
            raise RequestRefused("the client is registered for less", code="invalid_scope")
        return self.authority.grants.issue_to_client(
            client.client_id, scope=scope or client.api_scopes
        )


class RevokeHandler(ClientHandler):
    """/revoke"""

    endpoint = "revoke"

    async def post(self) -> None:
        try:
            form = self.form()
            client = self.authenticated_client(form)
            token = required(form, "token")
            self.authority.grants.revoke_token(token, client_id=client.client_id)
        except RequestRefused as refusal:
            self.refuse(refusal)
            return
        done = await tampered(self.authority.tamper, "revoke", {})
        if isinstance(done, Answer):
            await self.give(done)


class UserinfoHandler(ClientHandler):
    """/userinfo; the token comes in the Authorization header, or in a POST form."""

    endpoint = "userinfo"

    async def get(self) -> None:
        await self._answer(self._bearer())

    async def post(self) -> None:
        token = self._bearer()
        if token is None:
            try:
                token = self.form().get("access_token")
            except RequestRefused:
                token = None
        await self._answer(token)

    def _bearer(self) -> str | None:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None

    async def _answer(self, token: str | None) -> None:
        granted = None if token is None else self.authority.grants.grant_of(token)
        if granted is None:
            # Without credentials the challenge names no error (RFC 6750, section 3.1).
            self.error = None if token is None else "invalid_token"
            challenge = 'Bearer realm="userinfo"'
            if self.error is not None:
                challenge += f', error="{self.error}"'
            self.set_status(401)
            self.set_header("WWW-Authenticate", challenge)
            return
        grant, scope = granted
        claims = self.authority.account(grant.username).claims_for(scope)
        client = self.authority.clients.get(grant.client_id)
        if client is None or client.userinfo_signed_response_alg is None:
            await self.give_json(claims)
        else:
            await self._answer_signed(claims, client)

    async def _answer_signed(self, claims: dict[str, Any], client: Client) -> None:
        whole = {**claims, "iss": self.authority.issuer, "aud": client.client_id}
        done = await tampered(self.authority.tamper, self.endpoint, whole)
        if isinstance(done, Answer):
            await self.give(done)
            return
        key = self.authority.keys.key_for(client, client.userinfo_signed_response_alg)
        self.set_header("Content-Type", "application/jwt")
        self.finish(encrypted_for(client, build_jwt(done, key), kind="userinfo"))
