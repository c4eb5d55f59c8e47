"""The embedded provider's endpoint for pushed authorization requests.

LAW: a request is judged when it is pushed, by the rules of the authorization endpoint, and who
pushes it has proved itself. Source: RFC 9126, section 2.
"""

from __future__ import annotations

from urllib.parse import urlencode

from clefstorm.errors import RequestRefused
from clefstorm.testing.provider.authorization_request import (
    read_parameters,
    read_request,
    read_return_address,
)
from clefstorm.testing.provider.endpoints import ClientHandler
from clefstorm.testing.provider.pushed_requests import REQUEST_LIFETIME

_OF_THE_CLIENT = ("client_secret", "client_assertion", "client_assertion_type")


class PushedRequestHandler(ClientHandler):
    """/par"""

    endpoint = "par"

    async def post(self) -> None:
        try:
            request_uri = self._push(self.form())
        except RequestRefused as refusal:
            self.refuse(refusal)
            return
        await self.give_json(
            {"request_uri": request_uri, "expires_in": REQUEST_LIFETIME}, status=201
        )

    def _push(self, form: dict[str, str]) -> str:
        client = self.authenticated_client(form)
        if not self.authority.pushed_authorization_requests:
            raise RequestRefused("pushed requests are not offered", code="invalid_request")
        if form.get("client_id") != client.client_id:
            raise RequestRefused("client_id is the client that pushes", code="invalid_request")
        pushed = {name: value for name, value in form.items() if name not in _OF_THE_CLIENT}
        query = urlencode(pushed)
        parameters = read_parameters(query)
        try:
            to = read_return_address(parameters, self.authority.clients)
        except RequestRefused as refusal:
            # Nobody is sent there, so this client may be told in an OAuth error's words.
            raise RequestRefused(refusal.message, code="invalid_request") from None
        read_request(query, parameters, to)
        return self.authority.pushed.push(client.client_id, query)
