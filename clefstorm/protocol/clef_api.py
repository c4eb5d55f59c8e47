"""Clef API v1: its three calls as flows, and what its answers mean.

LAW: only ``authorize``, ``info`` and ``logged_out`` know what a call sends. The secret goes into
a body, never into a URL; the one secret that the protocol puts into a query, the access token of
``info``, is in no error and no log. Source: Clef API v1; RFC 3986, section 3.3 (paths).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from clefstorm.errors import ClefAPIError, ConfigurationError, ProtocolViolation
from clefstorm.protocol.exchange import Flow, Request, Response, fetch
from clefstorm.protocol.metadata import check_url
from clefstorm.protocol.strict_json import read_json_object

API_URL = "https://clef.io/api/v1/"

CODES: Mapping[str, str] = {
    "Invalid App ID.": "clef_app_id_invalid",
    "Invalid App Secret.": "clef_app_secret_invalid",
    "Invalid App.": "clef_app_invalid",
    "Invalid OAuth Code.": "clef_code_invalid",
    "Invalid token.": "clef_token_invalid",
    "Invalid logout hook URL.": "clef_logout_hook_invalid",
    "Invalid Logout Token.": "clef_logout_token_invalid",
}
"""The errors of the API, and our code for each."""

LONGEST_VALUE = 8192
"""Characters of one parameter."""

_LARGEST_ID = 1 << 63
_SEGMENT = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*"  # Neither "." nor "..", nor a scheme.
_RELATIVE = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*/?")
_TOKEN = re.compile(r"[\x20-\x7e]+")


def check_api_url(url: object) -> str:
    """Return the address that relative URLs are joined to; it ends with a slash.

    Raises ConfigurationError (``api_url_invalid``) unless it is an absolute https URL (http on
    loopback) without a query.
    """
    try:
        checked = check_url(url, name="api_url")
    except ProtocolViolation as error:
        reason = error.message
    else:
        if not urlsplit(checked).query:
            return checked if checked.endswith("/") else f"{checked}/"
        reason = "a query"
    raise ConfigurationError(
        f"api_url is an absolute https URL such as {API_URL}",
        code="api_url_invalid",
        reason=reason,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClefAPI:
    """One application at one server that speaks Clef API v1; ``api_url`` ends with a slash."""

    api_url: str
    app_id: str
    app_secret: str = field(repr=False)
    user_agent: str | None = None

    @property
    def script_url(self) -> str:
        """The script that draws the wave button."""
        return urljoin(self.api_url, "/v3/clef.js")

    def request(self, method: str, rel_url: str, params: Mapping[str, object]) -> Request:
        """Return a call: params in the query of a GET, in the form of a POST.

        Raises ConfigurationError: ``relative_url_invalid`` for a URL that is not plainly below
        the API's, ``parameter_invalid``.
        """
        if not isinstance(rel_url, str) or not _RELATIVE.fullmatch(rel_url):
            raise ConfigurationError(
                'a URL relative to api_url is a plain path such as "info"',
                code="relative_url_invalid",
                # What stands behind a "?" may be a secret.
                got=re.split(r"[?#@]", str(rel_url))[0],
            )
        for name, value in params.items():
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise ConfigurationError(
                    "a parameter is a text or an integer", code="parameter_invalid", name=name
                )
            if len(str(value)) > LONGEST_VALUE:
                raise ConfigurationError(
                    "a parameter is too long", code="parameter_invalid", name=name
                )
        encoded = urlencode(params)
        headers = {"Accept": "application/json"}
        if self.user_agent is not None:
            headers["User-Agent"] = self.user_agent
        if method == "GET":
            query = f"?{encoded}" if encoded else ""
            return Request(method="GET", url=f"{self.api_url}{rel_url}{query}", headers=headers)
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Request(
            method="POST",
            url=f"{self.api_url}{rel_url}",
            headers=headers,
            body=encoded.encode("ascii"),
        )

    def call(
        self, method: str, rel_url: str, params: Mapping[str, object]
    ) -> Flow[Mapping[str, Any]]:
        """Send a call and return the JSON object of its success.

        Raises ClefAPIError for a JSON error of whatever status, ProtocolViolation for everything
        else that is not an answer.
        """
        response = yield from fetch(self.request(method, rel_url, params))
        secrets = [*map(str, params.values()), self.app_secret]
        return read_answer(response, secrets=secrets)

    def authorize(self, code: str) -> Flow[str]:
        """Exchange the code of a callback for an access token."""
        answer = yield from self.call("POST", "authorize", {"code": code, **self._credentials()})
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise _member("access_token")
        return token

    def info(self, access_token: str) -> Flow[Mapping[str, Any]]:
        """Ask whom an access token belongs to: a JSON object whose ``id`` is an integer."""
        answer = yield from self.call("GET", "info", {"access_token": access_token})
        info = answer.get("info")
        if not isinstance(info, dict) or not _is_id(info.get("id")):
            raise _member("info")
        return info

    def logged_out(self, logout_token: str) -> Flow[int]:
        """Exchange the token of the logout webhook for the id of the user who logged out."""
        answer = yield from self.call(
            "POST", "logout", {"logout_token": logout_token, **self._credentials()}
        )
        clef_id = answer.get("clef_id")
        if not isinstance(clef_id, int) or not _is_id(clef_id):
            raise _member("clef_id")
        return clef_id

    def _credentials(self) -> Mapping[str, str]:
        return {"app_id": self.app_id, "app_secret": self.app_secret}


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST_ID


def _member(name: str) -> ProtocolViolation:
    return ProtocolViolation(
        "the API's answer lacks a member or has it in the wrong type",
        code="clef_answer_member",
        name=name,
    )


def read_answer(response: Response, *, secrets: Sequence[str] = ()) -> Mapping[str, Any]:
    """Return the JSON object of a success; ``secrets`` of the call stand in no error.

    Raises ClefAPIError for ``success`` other than true, whatever the status (also a 403), and
    ProtocolViolation for what is not such JSON, or a success with another status than 200.
    """
    try:
        answer = read_json_object(response.body)
    except ProtocolViolation as error:
        raise ProtocolViolation(
            "the API answered with something that is not its JSON",
            code="clef_answer_not_json",
            status=response.status,
            reason=error.code,
        ) from None
    if answer.get("success") is not True:
        said = answer.get("error")
        if said is None and "success" not in answer:
            raise _member("success")
        message = said if isinstance(said, str) and said.strip() else "The API gave no reason."
        if message not in CODES:
            for secret in sorted(secrets, key=len, reverse=True):
                message = message.replace(secret, "…") if secret else message
        raise ClefAPIError(message, response.status, code=CODES.get(message))
    if response.status != 200:
        raise ProtocolViolation(
            "the API calls this a success under another status",
            code="clef_answer_status",
            expected=200,
            got=response.status,
        )
    return answer
