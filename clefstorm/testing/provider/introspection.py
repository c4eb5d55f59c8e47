"""The introspection endpoint of the embedded provider.

LAW: of a token that is not live nothing is said but that. Source: RFC 7662, sections 2 and 4.
"""

from __future__ import annotations

from typing import Any

from clefstorm.errors import RequestRefused
from clefstorm.testing.provider.endpoints import ClientHandler, required


class IntrospectHandler(ClientHandler):
    """/introspect: whichever client proves itself is told (RFC 7662)."""

    endpoint = "introspect"

    async def post(self) -> None:
        try:
            form = self.form()
            self.authenticated_client(form)
            token = required(form, "token")
        except RequestRefused as refusal:
            self.refuse(refusal)
            return
        await self.give_json(self._answer_about(token))

    def _answer_about(self, token: str) -> dict[str, Any]:
        found = self.authority.grants.token_of(token)
        if found is None:
            return {"active": False}
        grant, issued = found
        answer = {
            "active": True,
            "iss": self.authority.issuer,
            "sub": self.authority.sub_of(grant),
            "client_id": grant.client_id,
            "token_type": "Bearer",
            "scope": " ".join(issued.scope),
            "exp": int(issued.expires),
        }
        if grant.username:
            answer |= {"username": grant.username, "auth_time": int(grant.auth_time)}
        client = self.authority.clients.get(grant.client_id)
        if client is not None and client.access_token_audience is not None:
            answer["aud"] = client.access_token_audience
        return answer
