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


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Read one request's head and content."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = 0
    for line in head.lower().split("\r\n"):
        if line.startswith("content-length:"):
            length = int(line.partition(":")[2])
    return head, await reader.readexactly(length)


Serve = Callable[..., Awaitable[RawServer]]


async def forever(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Say nothing until the other side goes away."""
    await reader.read()


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer with its length, after which the server closes, as it says."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [*headers, "", ""]
    return "\r\n".join(lines).encode() + body
