"""A loopback server that says what a test wants said, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """One listening port; ``heads`` are the request heads it has read, ``open`` its connections."""

    scheme: str
    port: int
    heads: list[str] = field(default_factory=list)
    open: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def empty(self) -> None:
        """Return when every connection has been closed by the other side."""
        while self.open:
            await asyncio.sleep(0.005)


Serve = Callable[..., Awaitable[RawServer]]


async def forever(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side goes away."""
    await reader.read()


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
