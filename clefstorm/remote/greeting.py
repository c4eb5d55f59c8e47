"""How a session presents itself: its first frame on each connection, and what is checked before.

LAW: what the server would refuse is refused here, before anything is sent; no repr and no error
shows the credentials.

Source: docs/reference/frames.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clefstorm.bus.socket_frames import (
    LARGEST_ANSWER,
    LONGEST_CREDENTIALS,
    LONGEST_PRINCIPAL,
    VERSION,
    CloseCode,
    are_properties,
    write_frame,
)
from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.credentials import Credentials
from clefstorm.remote.link import Link, check_url, open_link

CONNECT_SECONDS = 10.0
"""How long one attempt to connect may take."""


class Greeting:
    """Who asks where for what. Raises ConfigurationError as `Session` does."""

    def __init__(
        self,
        url: str,
        principal: str,
        credentials: Credentials | None,
        properties: Mapping[str, str] | None,
    ) -> None:
        self._credentials = Credentials() if credentials is None else credentials
        if not isinstance(self._credentials, Credentials):
            raise ConfigurationError(
                "credentials are an object: Credentials(password)", code="credentials_invalid"
            )
        if len(self._credentials.password) > LONGEST_CREDENTIALS:
            raise ConfigurationError(
                "these credentials are too long for the wire", code="credentials_too_long"
            )
        if not isinstance(principal, str) or len(principal) > LONGEST_PRINCIPAL:
            raise ConfigurationError("a principal is a short name", code="principal_invalid")
        self._url = check_url(url, confidential=bool(bytes(self._credentials)))
        self._principal = principal
        self.properties = checked(properties)

    async def hello(self) -> tuple[Link, dict[str, Any]]:
        """Ask for a new session; the connection and the welcome. Raises as `open_link`."""
        return await self._open(
            "welcome",
            write_frame(
                "hello",
                largest=LARGEST_ANSWER,
                version=VERSION,
                principal=self._principal,
                credentials=self._credentials.password,
                properties=self.properties,
            ),
        )

    async def resume(
        self, session_id: str | None, secret: str, received: int
    ) -> tuple[Link, dict[str, Any]]:
        """Ask for the session that was; ``received``: how many of its frames came. Raises as
        `open_link`."""
        return await self._open(
            "resumed",
            write_frame(
                "resume",
                largest=LARGEST_ANSWER,
                version=VERSION,
                session=session_id,
                secret=secret,
                received=received,
            ),
        )

    async def _open(self, expected: str, frame: str) -> tuple[Link, dict[str, Any]]:
        link, first = await open_link(self._url, frame, deadline=CONNECT_SECONDS)
        if first["type"] != expected:
            await link.close(CloseCode.BAD_FRAME)
            raise ProtocolViolation(
                "the server sent a frame out of order",
                code="frame_out_of_order",
                expected=expected,
                got=first["type"],
            )
        return link, first


def checked(properties: Mapping[str, str] | None) -> dict[str, str]:
    """Return properties that a client may ask for. Raises ConfigurationError."""
    found = dict(properties or {})
    if not are_properties(found):
        raise ConfigurationError(
            "properties are a few short texts, by name", code="properties_invalid"
        )
    for name in found:
        if name.startswith("$"):
            raise ConfigurationError(
                "only the server sets a property whose name begins with $",
                code="property_fixed",
                name=name,
            )
    return found
