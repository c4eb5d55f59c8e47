"""What a login costs in HTTP: a code exchange and a userinfo call, over TLS.

    python benchmarks/connections.py [--rounds N] [--quick]

The provider is a process of its own, so that the figures are the CPU time of the client's process
alone, all its threads included. The ways take turns in that process, round by round; a figure is
the median over the rounds of the ratio to Tornado's simple client in the same round. Garbage is
collected before each turn and not during it. Every way keeps its client from round to round, as a
server does, and has done the thing once before the first. All trust what the system trusts (and
the provider of this benchmark).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import tornado
import trustme
from tornado.curl_httpclient import CurlAsyncHTTPClient
from tornado.httpclient import AsyncHTTPClient
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from clefstorm.protocol.exchange import Request
from clefstorm.transport import NO_AUTH, AsyncConnection, http_client
from clefstorm.transport.simple_client import SimpleClient

Exchange = Callable[[], Awaitable[None]]
"""One code exchange and one userinfo call."""

TOKENS = json.dumps(
    {"access_token": "a" * 40, "token_type": "Bearer", "expires_in": 3600, "id_token": "i" * 900}
).encode()
USER = json.dumps({"sub": "1", "name": "Anna Example", "email": "anna@example.com"}).encode()
FORM = b"grant_type=authorization_code&code=" + b"c" * 40 + b"&code_verifier=" + b"v" * 43
BASIC = {"Authorization": "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"}
POSTED = {**BASIC, "Content-Type": "application/x-www-form-urlencoded"}
BEARER = {"Authorization": "Bearer " + "a" * 40}
PLAIN = "tornado simple_httpclient"


# -- the provider's process -----------------------------------------------------------------------


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Keeps the connection unless the other side wants it closed."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            posted = head.startswith(b"post")
            if posted:
                await reader.readexactly(len(FORM))
            body = TOKENS if posted else USER
            close = b"connection: close" in head
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n"
                % (len(body), b"Connection: close\r\n" if close else b"")
                + body
            )
            await writer.drain()
            if close:
                return
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def provide(certificate: str) -> None:
    """Serve until standard input ends; says the port first."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # Without a word of the connections that it keeps.


# -- the ways -------------------------------------------------------------------------------------


def ours(url: str) -> Exchange:
    connection = AsyncConnection(url, NO_AUTH)
    post = Request(method="POST", url=f"{url}/token", headers=POSTED, body=FORM)
    get = Request(method="GET", url=f"{url}/userinfo", headers=BEARER)

    async def exchange() -> None:
        assert (await connection.send(post)).body == TOKENS
        assert (await connection.send(get)).body == USER

    return exchange


def ours_simple(url: str) -> Exchange:
    better, http_client.client_class = http_client.client_class, lambda: SimpleClient  # type: ignore[assignment]
    try:
        return ours(url)
    finally:
        http_client.client_class = better


def tornados(client: AsyncHTTPClient, url: str) -> Exchange:
    async def exchange() -> None:
        posted = await client.fetch(f"{url}/token", method="POST", headers=POSTED, body=FORM)
        assert posted.body == TOKENS
        assert (await client.fetch(f"{url}/userinfo", headers=BEARER)).body == USER

    return exchange


def curl_that_trusts_the_system(url: str) -> Exchange:
    defaults = {"ca_certs": os.environ["SSL_CERT_FILE"]}
    return tornados(CurlAsyncHTTPClient(force_instance=True, defaults=defaults), url)


WAYS: dict[str, Callable[[str], Exchange]] = {
    PLAIN: lambda url: tornados(SimpleAsyncHTTPClient(force_instance=True), url),
    "tornado curl_httpclient": curl_that_trusts_the_system,
    "clefstorm, without curl": ours_simple,
    "clefstorm[curl]": ours,
}


# -- measuring ------------------------------------------------------------------------------------


async def turn(exchange: Exchange, count: int, at_once: int) -> float:
    """CPU seconds of one exchange, of ``count`` in rows of ``at_once``."""
    gc.collect()
    gc.disable()
    begun = time.process_time()
    for _ in range(count // at_once):
        await asyncio.gather(*(exchange() for _ in range(at_once)))
    taken = time.process_time() - begun
    gc.enable()
    return taken / count


async def measure(url: str, rounds: int, count: int) -> None:
    for at_once in (1, 10):
        exchanges = {name: make(url) for name, make in WAYS.items()}
        costs: dict[str, list[float]] = {name: [] for name in WAYS}
        for exchange in exchanges.values():
            await turn(exchange, at_once, at_once)
        for _ in range(rounds):
            for name, exchange in exchanges.items():
                costs[name].append(await turn(exchange, count, at_once))
        print(f"\n{at_once} at once" if at_once > 1 else "\none after the other")
        for name, taken in costs.items():
            ratios = [cost / plain for cost, plain in zip(taken, costs[PLAIN], strict=True)]
            cost, ratio = statistics.median(taken) * 1000, statistics.median(ratios)
            print(f"    {name:28}{cost:9.2f} ms {ratio:6.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11, help="turns of every way (default 11)")
    parser.add_argument("--quick", action="store_true", help="fewer exchanges, 3 rounds")
    parser.add_argument("--provide", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.provide:
        asyncio.run(provide(options.provide))
        return
    warnings.simplefilter("error")
    rounds, count = (3, 20) if options.quick else (options.rounds, 100)
    with tempfile.TemporaryDirectory() as folder:
        trust(Path(folder))
        program = [sys.executable, __file__, "--provide", str(Path(folder, "provider.pem"))]
        pipe: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(program, **pipe) as provider:
            assert provider.stdout is not None
            url = f"https://localhost:{int(provider.stdout.readline())}"
            print(f"Python {sys.version.split()[0]}, tornado {tornado.version}, {rounds} rounds")
            asyncio.run(measure(url, rounds, count))


def trust(folder: Path) -> None:
    """Let the system trust the provider too."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
        folder / "provider.pem"
    )
    system = ssl.get_default_verify_paths().cafile
    known = Path(system).read_bytes() if system else b""
    (folder / "trusted.pem").write_bytes(known + b"\n" + authority.cert_pem.bytes())
    os.environ["SSL_CERT_FILE"] = str(folder / "trusted.pem")


if __name__ == "__main__":
    main()
