"""A bare WebSocket to the bus, for frames that no Session would send."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from clefstorm.remote import Credentials

PASSWORD = "a password of a test"


def hello(*, password: str = PASSWORD, **changes: Any) -> dict[str, Any]:
    return {
        "type": "hello",
        "version": 1,
        "principal": "worker",
        "credentials": Credentials(password).password,
        "properties": {},
        **changes,
    }


class RawSocket:
    """``async with raw_socket(port) as socket``."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        if headers.get("Origin") == "own":
            headers["Origin"] = f"http://127.0.0.1:{port}"
        self._request = HTTPRequest(f"ws://127.0.0.1:{port}/auth/bus", headers=headers)
        self._socket: WebSocketClientConnection
        self._over = False

    async def refusal(self) -> int:
        """The status with which no WebSocket begins."""
        try:
            await websocket_connect(self._request)
        except HTTPClientError as error:
            return error.code
        raise AssertionError("it was let in")

    async def __aenter__(self) -> RawSocket:
        self._socket = await websocket_connect(self._request)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
        while await self._read() is not None:
            pass

    async def _read(self) -> str | bytes | None:
        if not self._over:
            async with asyncio.timeout(10):
                text = await self._socket.read_message()
            if text is not None:
                return text
            self._over = True
            self._socket.close()
        return None

    def send(self, frame: Any) -> None:
        if not isinstance(frame, str | bytes):
            frame = json.dumps(frame)
        self._socket.write_message(frame, binary=isinstance(frame, bytes))

    async def frame(self) -> dict[str, Any]:
        text = await self._read()
        assert text is not None, (self._socket.close_code, self._socket.close_reason)
        frame = json.loads(text)
        assert isinstance(frame, dict)
        return frame

    async def welcome(self, **changes: Any) -> dict[str, Any]:
        self.send(hello(**changes))
        return await self.frame()

    async def answer_to(self, number: int) -> dict[str, Any]:
        while (frame := await self.frame()).get("to") != number:
            pass
        return frame

    async def end(self) -> tuple[int | None, str | None]:
        """Read on until the server closes; its code and reason."""
        while await self._read() is not None:
            pass
        return self._socket.close_code, self._socket.close_reason

    def cut(self) -> None:
        """Lose the TCP connection."""
        protocol = self._socket.protocol
        assert protocol is not None
        protocol._abort()


def raw_socket(port: int, **headers: str) -> RawSocket:
    return RawSocket(port, headers)
