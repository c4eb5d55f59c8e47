"""``python -m clefstorm.testing.provider``: the embedded provider in a process of its own.

    python -m clefstorm.testing.provider --port 9000 --client-id app --client-secret s3cret \\
        --redirect-uri http://127.0.0.1:8000/auth/callback

Prints the issuer on one line when it serves, and stops at SIGINT or SIGTERM. LAW: reads the
command line and nothing else; the rest is Provider's.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

from clefstorm.testing.provider import Provider


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m clefstorm.testing.provider",
        description="An OpenID provider on loopback, with the users alice, bob, carol and dave.",
    )
    parser.add_argument("--host", default="localhost", help="localhost, 127.0.0.1 or ::1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--path", help="a folder in which keys and sessions survive a restart")
    parser.add_argument("--access-token-lifetime", type=float, default=3600.0, help="seconds")
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--client-secret", help="left out: a public client")
    parser.add_argument("--redirect-uri", action="append", required=True)
    parser.add_argument("--post-logout-redirect-uri", action="append", default=[])
    parser.add_argument("--backchannel-logout-uri")
    parser.add_argument("--clef-logout-uri", help="the logout hook of an application with Clef")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    provider = Provider(
        host=arguments.host,
        port=arguments.port,
        path=arguments.path,
        access_token_lifetime=arguments.access_token_lifetime,
    )
    provider.add_client(
        arguments.client_id,
        arguments.client_secret,
        arguments.redirect_uri,
        post_logout_redirect_uris=arguments.post_logout_redirect_uri,
        backchannel_logout_uri=arguments.backchannel_logout_uri,
        clef_logout_uri=arguments.clef_logout_uri,
    )
    async with provider:
        print(provider.issuer, flush=True)
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
