"""Every reader of outside text, with what is thrown at it.

A new reader of what a browser, a provider or another process sent gets its row in READERS: the
suite tries each a little, ``python tests/fuzz/long_run.py`` a lot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fuzz.inputs import (
    KEY,
    anything,
    as_json,
    base64url,
    forms_of,
    json_of,
    mostly,
    scratched,
    scratched_text,
    spoiled,
    texts,
    tokens_of,
)
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tornado.httputil import HTTPHeaders

from clefstorm.bus.frames import read_sse
from clefstorm.bus.socket_frames import FROM_CLIENT, FROM_SERVER, read_frame
from clefstorm.handlers.cookies import read_cookie, read_cookies
from clefstorm.handlers.handler import read_pairs
from clefstorm.jwe import encrypt_jwe, generate_decryption_key
from clefstorm.keys import generate_key
from clefstorm.protocol.access_token import check_access_token
from clefstorm.protocol.authorization import PendingLogin, check_callback
from clefstorm.protocol.bearer import read_bearer
from clefstorm.protocol.clef_api import check_api_url, read_answer
from clefstorm.protocol.credentials import Credentials
from clefstorm.protocol.encrypted_token import decrypt_token
from clefstorm.protocol.eternaltwin import read_user
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.id_token import check_id_token, check_refreshed_id_token
from clefstorm.protocol.identity import read_profile, read_userinfo
from clefstorm.protocol.introspection import read_introspection
from clefstorm.protocol.jwks import KeySet, read_jwks
from clefstorm.protocol.jwt import HMAC, read_jwt_header, verify_jwt
from clefstorm.protocol.logout_token import LOGOUT_EVENT, check_logout_token
from clefstorm.protocol.metadata import read_metadata
from clefstorm.protocol.pod_cookies import PodCookies
from clefstorm.protocol.pod_page import read_token
from clefstorm.protocol.pushed_authorization import read_pushed_response
from clefstorm.protocol.return_path import local_path
from clefstorm.protocol.state import build_state, check_browser, check_state
from clefstorm.protocol.strict_json import read_json, read_json_object
from clefstorm.protocol.token_endpoint import read_token_response
from clefstorm.relying_party.pending import PendingLogins, read_logout
from clefstorm.sealing import Sealer

ISSUER = "https://id.example.com"
NOW = 1_800_000_000.0
KEYS = KeySet.of([KEY])
PENDING = PendingLogin(redirect_uri="https://app.example.com/auth/callback")
SEALER = Sealer([b"0" * 32])

Read = Callable[[Any], object]


@dataclass(frozen=True)
class Reader:
    """One reader; ``inputs`` are what it is given, and ``read`` how."""

    name: str
    inputs: SearchStrategy[Any]
    read: Read
    refuses: bool = True
    """False: what it can't read is as good as nothing, and no error."""


def responses(
    bodies: SearchStrategy[bytes], media_type: str = "application/json", *, status: int = 200
) -> SearchStrategy[Response]:
    types = mostly(
        st.just(media_type), st.sampled_from(["", "text/html", "application/jwt"]) | texts
    )
    statuses = mostly(
        st.just(status), st.sampled_from([400, 401, 403, 500]) | st.integers(100, 599)
    )
    return st.builds(
        lambda status, kind, body: Response(
            status=status, headers={"content-type": kind}, body=body
        ),
        statuses,
        types,
        bodies,
    )


METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "userinfo_endpoint": f"{ISSUER}/me",
    "jwks_uri": f"{ISSUER}/jwks",
    "end_session_endpoint": f"{ISSUER}/end",
    "response_types_supported": ["code"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
}
TOKENS = {
    "access_token": "abc",
    "token_type": "Bearer",
    "expires_in": 60,
    "refresh_token": "def",
    "scope": "openid",
    "id_token": "a.b.c",
    "error": "invalid_grant",
    "error_description": "gone",
}
ID_TOKEN = {
    "iss": ISSUER,
    "sub": "ann",
    "aud": "app",
    "azp": "app",
    "exp": NOW + 60,
    "iat": NOW,
    "nbf": NOW,
    "auth_time": NOW,
    "nonce": "n",
    "at_hash": "ungWv48Bz-pBQUDeXa4iIw",
    "sid": "s",
    "acr": "1",
}
LOGOUT_TOKEN = {
    "iss": ISSUER,
    "sub": "ann",
    "sid": "s",
    "aud": "app",
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "j",
    "events": {LOGOUT_EVENT: {}},
}
PROFILE = {"sub": "ann", "name": "Ann", "email": "ann@example.com", "email_verified": True}
JWKS = [
    {**generate_key(alg).to_jwk(), "kid": alg, "use": "sig"} for alg in ("RS256", "ES256", "EdDSA")
]
ACCESS_TOKEN = {
    "iss": ISSUER,
    "sub": "ann",
    "aud": "api",
    "client_id": "app",
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "j",
    "scope": "read write",
}
ETERNALTWIN_USER = {
    "id": "00000000-0000-0000-0000-000000000001",
    "display_name": {"current": {"value": "Ann"}},
    "is_administrator": False,
    "created_at": "2026-11-21T09:30:00Z",
}
PUSHED = {"request_uri": "urn:example:bwc4JK-ESC0w8acc191e-Y1LTC2", "expires_in": 60}
POD_PAGE = b'<html><head><meta name="csrf-token" content="abc=="></head><body></body></html>'
DECRYPTING = generate_decryption_key("ECDH-ES")
JWE = encrypt_jwe("a.b.c", DECRYPTING.to_jwk(), alg="ECDH-ES", enc="A128GCM")
CLEF = {"success": True, "access_token": "t", "info": {"id": 1}, "clef_id": 1, "error": "no"}


def _verified(judge: Callable[[Any, Any], object]) -> Read:
    """Read a token as a provider's flow does: header, signature, claims."""

    def read(token: str) -> object:
        header = read_jwt_header(token)
        return judge(verify_jwt(token, KEYS, algorithms=HMAC), header)

    return read


def _id_token(claims: Any, header: Any) -> object:
    return check_id_token(
        claims,
        alg=header["alg"],
        header=header,
        issuer=ISSUER,
        client_id="app",
        nonce="n",
        now=NOW,
        access_token="abc",
        max_age=60,
    )


def _refreshed(claims: Any, header: Any) -> object:
    return check_refreshed_id_token(
        claims,
        previous=ID_TOKEN,
        alg=header["alg"],
        header=header,
        issuer=ISSUER,
        client_id="app",
        now=NOW,
    )


def _logout(claims: Any, header: Any) -> object:
    return check_logout_token(claims, header=header, issuer=ISSUER, client_id="app", now=NOW)


def _access_token(claims: Any, header: Any) -> object:
    return check_access_token(claims, header=header, issuer=ISSUER, audience="api", now=NOW)


def _introspection(answer: Response) -> object:
    return read_introspection(answer, issuer=ISSUER, audience="api", aud_required=True, now=NOW)


def _pod_cookies(line: str) -> object:
    cookies = PodCookies("https://pod.example.com", clock=lambda: NOW)
    cookies.receive("https://pod.example.com/users/sign_in", [line, line + "x"])
    return cookies.header("https://pod.example.com/stream")


def _state(state: str) -> object:
    found = check_state(state, [KEY], authorization_server=ISSUER, now=NOW)
    check_browser(found, PENDING.browser_secret)
    return found


STATE = build_state(
    KEY, authorization_server=ISSUER, browser_secret=PENDING.browser_secret, now=NOW, lifetime=60
)
STATE_CLAIMS = {
    "a": "authorize",
    "as": ISSUER,
    "iat": NOW,
    "exp": NOW + 60,
    "rfp": "x",
    "nonce": "n",
}


def _callback(query: str) -> object:
    return check_callback(read_pairs(query), PENDING, issuer=ISSUER, iss_required=True)


def _cookies(raw: str) -> object:
    headers = HTTPHeaders({"Cookie": raw.replace("\r", "").replace("\n", "")})
    cookies = read_cookies(headers, "login")
    logins = PendingLogins(SEALER, prefix="login")
    return (
        read_cookie(headers, "session"),
        logins.read(cookies, STATE),
        logins.overfull(cookies),
        read_logout(SEALER, next(iter(cookies.values()), None), "s"),
    )


COOKIE = f"session={'A' * 43}; login-x=1.{base64url(SEALER.seal(b'{}', purpose='login'))}; b=c"

FRAMES = [
    {"type": "notify", "n": 1, "key": "a", "message": {"a": 1}},
    {"type": "wait", "n": 1, "keys": ["a", 1]},
    {"type": "subscribe", "n": 1, "keys": ["a"], "after": "x:1"},
    {"type": "ping", "n": 1},
    {"type": "event", "n": 1, "to": 1, "id": "x:1", "key": 1, "message": None},
    {"type": "error", "n": 1, "to": 1, "code": "c", "message": "m"},
]


def _frame(text: str) -> object:
    """Read it at the end that it is for; each refuses what is the other's."""
    to_server = any(f'"{kind}"' in text for kind in ("notify", "wait", "subscribe", "ping"))
    return read_frame(text, FROM_CLIENT if to_server else FROM_SERVER)


def texts_of(*good: str) -> SearchStrategy[str]:
    usual = st.sampled_from(good)
    return usual | scratched_text(usual) | texts


READERS = [
    Reader(
        "callback",
        forms_of({"code": "c", "state": "s", "iss": ISSUER})
        | forms_of({"error": "access_denied", "error_description": "d", "iss": ISSUER}),
        _callback,
    ),
    Reader(
        "state", texts_of(STATE) | tokens_of({"alg": "HS256", "typ": "JWT"}, STATE_CLAIMS), _state
    ),
    Reader("id_token", tokens_of({"alg": "HS256", "kid": "k"}, ID_TOKEN), _verified(_id_token)),
    Reader("refreshed_id_token", tokens_of({"alg": "HS256"}, ID_TOKEN), _verified(_refreshed)),
    Reader(
        "logout_token",
        tokens_of({"alg": "HS256", "typ": "logout+jwt"}, LOGOUT_TOKEN),
        _verified(_logout),
    ),
    Reader(
        "id_token_claims",
        json_of(ID_TOKEN),
        lambda raw: _id_token(read_json_object(raw), {"alg": "HS256"}),
    ),
    Reader(
        "logout_token_claims",
        json_of(LOGOUT_TOKEN),
        lambda raw: _logout(read_json_object(raw), {}),
    ),
    Reader(
        "discovery",
        responses(json_of(METADATA)),
        lambda answer: read_metadata(answer, issuer=ISSUER),
    ),
    Reader(
        "jwks",
        scratched(
            st.lists(st.sampled_from(JWKS).flatmap(spoiled) | anything, max_size=4).map(
                lambda keys: as_json({"keys": keys})
            )
        ),
        read_jwks,
    ),
    Reader(
        "token_endpoint",
        responses(json_of(TOKENS)),
        lambda answer: read_token_response(answer, now=NOW, secrets=("def",)),
    ),
    Reader(
        "userinfo", responses(json_of(PROFILE)), lambda answer: read_userinfo(answer, sub="ann")
    ),
    Reader("profile", responses(json_of(PROFILE)), read_profile),
    Reader("clef_api", responses(json_of(CLEF)), read_answer),
    Reader("clef_api_url", texts_of("https://clef.example.com/api/v1/"), check_api_url),
    Reader("json", scratched(st.builds(as_json, anything)), read_json),
    Reader(
        "return_path", texts_of("/a?b=c", "/\\a", "//a", "/%2f%2fa", "https://a@b/"), local_path
    ),
    Reader("form", forms_of({"logout_token": "a.b.c"}), read_pairs),
    Reader("cookies", texts_of(COOKIE), _cookies, refuses=False),
    Reader(
        "frames",
        st.sampled_from(FRAMES).flatmap(json_of).map(lambda raw: raw.decode("latin-1")),
        _frame,
    ),
    Reader("event_stream", scratched(st.just(b"id: 1\nevent: logout\ndata: {}\n\n")), read_sse),
    Reader("credentials", scratched(st.just(b"\x01\x03bar")), Credentials.from_bytes),
    Reader("password", texts_of("AQNiYXI="), Credentials.from_password),
    Reader(
        "access_token",
        tokens_of({"alg": "HS256", "typ": "at+jwt"}, ACCESS_TOKEN),
        _verified(_access_token),
    ),
    Reader("introspection", responses(json_of({"active": True, **ACCESS_TOKEN})), _introspection),
    Reader("bearer", st.lists(texts_of("Bearer abc"), max_size=2), read_bearer),
    Reader("pushed_authorization", responses(json_of(PUSHED), status=201), read_pushed_response),
    Reader(
        "encrypted_token",
        texts_of(JWE),
        lambda token: decrypt_token(token, [DECRYPTING], alg="ECDH-ES", enc="A128GCM"),
    ),
    Reader(
        "eternaltwin_user",
        json_of(ETERNALTWIN_USER),
        lambda raw: read_user(read_json_object(raw)),
    ),
    Reader("pod_page", responses(scratched(st.just(POD_PAGE)), "text/html"), read_token),
    Reader(
        "pod_cookies", texts_of("a=b; Path=/; HttpOnly; Max-Age=5"), _pod_cookies, refuses=False
    ),
]
