"""Named faults of id tokens and logout tokens: the claims, and the JSON around them.

LAW: each fault is one difference from a good token, and well signed, so that whoever leaves out
the one check lets it in. Those of header and signature are in faulty_signatures.
Source: OpenID Connect Core 1.0, sections 2 and 3.1.3.7; Back-Channel Logout 1.0, section 2.4;
RFC 7519, section 4.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from clefstorm.testing.provider.faults import Fault, TokenDraft
from clefstorm.testing.provider.faulty_json import JSON_CHANGES, Change

TOKENS = ("id_token", "logout_token")
_ID, _LOGOUT = ("id_token",), ("logout_token",)
_EVENT = "http://schemas.openid.net/event/backchannel-logout"

Hook = Callable[[TokenDraft], Any]


def _put(**changes: Any) -> Hook:
    return lambda draft: draft.claims.update(changes)


def _without(*names: str) -> Hook:
    def leave_out(draft: TokenDraft) -> None:
        for name in names:
            draft.claims.pop(name, None)

    return leave_out


def _change(name: str, change: Callable[[Any], Any]) -> Hook:
    return lambda draft: draft.claims.update({name: change(draft.claims[name])})


def _moved(**seconds: float) -> Hook:
    """Move times: so many seconds from the moment of signing."""

    def move(draft: TokenDraft) -> None:
        now = draft.claims["iat"]
        draft.claims.update({name: now + by for name, by in seconds.items()})

    return move


def _payload(change: Change) -> Hook:
    def replace(draft: TokenDraft) -> None:
        changed = change(json.dumps(draft.claims))
        draft.payload = changed.encode() if isinstance(changed, str) else changed

    return replace


def _written(name: str, number: str) -> Hook:
    """Write a claim's number as this text."""
    return _payload(lambda good: json.dumps({**json.loads(good), name: "@"}).replace('"@"', number))


_CLAIMS: Mapping[str, tuple[str, tuple[str, ...], Hook]] = {
    "iss_wrong": ("iss is another issuer", TOKENS, _put(iss="https://evil.example")),
    "iss_missing": ("there is no iss", TOKENS, _without("iss")),
    "iss_number": ("iss is a number", TOKENS, _put(iss=1)),
    "iss_slash": ("iss has one more slash at its end", TOKENS, _change("iss", lambda v: v + "/")),
    "iss_upper": ("iss is written in capitals", TOKENS, _change("iss", str.upper)),
    "iss_list": ("iss is a list with the issuer in it", TOKENS, _change("iss", lambda v: [v])),
    "sub_missing": ("there is no sub", TOKENS, _without("sub")),
    "sub_empty": ("sub is empty", TOKENS, _put(sub="")),
    "sub_number": ("sub is a number", TOKENS, _put(sub=12345)),
    "sub_null": ("sub is null", TOKENS, _put(sub=None)),
    "sub_too_long": ("sub has 256 characters", TOKENS, _put(sub="s" * 256)),
    "sub_of_another": ("sub is another user's", TOKENS, _put(sub="sub-of-another")),
    "aud_wrong": ("aud is another client", TOKENS, _put(aud="another-client")),
    "aud_missing": ("there is no aud", TOKENS, _without("aud")),
    "aud_empty": ("aud is an empty list", TOKENS, _put(aud=[])),
    "aud_object": ("aud is an object", TOKENS, _put(aud={"app": True})),
    "aud_number_in_list": ("aud has a number beside us", TOKENS, _change("aud", lambda v: [v, 1])),
    "aud_prefix": ("aud begins like our client_id", TOKENS, _change("aud", lambda v: v + "-2")),
    "aud_upper": ("aud is our client_id in capitals", TOKENS, _change("aud", str.upper)),
    "aud_stranger": ("aud names a stranger too", TOKENS, _change("aud", lambda v: [v, "stranger"])),
    "aud_list": ("aud is a list with us alone", TOKENS, _change("aud", lambda v: [v])),
    "azp_wrong": ("azp is another client", _ID, _put(azp="another-client")),
    "azp_ours": ("azp is our client_id", _ID, lambda d: d.claims.update(azp=d.claims["aud"])),
    "azp_number": ("azp is a number", _ID, _put(azp=7)),
    "exp_missing": ("there is no exp", TOKENS, _without("exp")),
    "exp_past": ("the token expired two minutes ago", TOKENS, _moved(iat=-300, exp=-120)),
    "exp_now": ("the token expired 61 seconds ago", TOKENS, _moved(iat=-300, exp=-61)),
    "exp_leeway": ("the token expired 50 seconds ago", TOKENS, _moved(iat=-60, exp=-50)),
    "exp_text": ("exp is a text", TOKENS, _change("exp", str)),
    "exp_true": ("exp is true", TOKENS, _put(exp=True)),
    "exp_null": ("exp is null", TOKENS, _put(exp=None)),
    "exp_infinite": ("exp is 1e999", TOKENS, _written("exp", "1e999")),
    "exp_after_all": ("exp is after the year 9999", TOKENS, _put(exp=10**15)),
    "exp_negative": ("exp is negative", TOKENS, _put(exp=-1)),
    "exp_milliseconds": ("exp is in milliseconds", TOKENS, _change("exp", lambda v: v * 1000)),
    "exp_float": ("exp and iat have fractions", TOKENS, _moved(iat=-0.25, exp=100.5)),
    "iat_missing": ("there is no iat", TOKENS, _without("iat")),
    "iat_future": ("the token is from two minutes ahead", TOKENS, _moved(iat=120, exp=240)),
    "iat_leeway": ("the token is from 50 seconds ahead", TOKENS, _moved(iat=50, exp=170)),
    "iat_text": ("iat is a text", TOKENS, _change("iat", str)),
    "nbf_future": ("the token is good in two minutes only", TOKENS, _moved(nbf=120)),
    "nbf_text": ("nbf is a text", TOKENS, _put(nbf="soon")),
    "nonce_missing": ("there is no nonce", _ID, _without("nonce")),
    "nonce_wrong": ("nonce is another login's", _ID, _put(nonce="another-login")),
    "nonce_upper": ("nonce is written in capitals", _ID, _change("nonce", lambda v: v.swapcase())),
    "nonce_number": ("nonce is a number", _ID, _put(nonce=0)),
    "nonce_empty": ("nonce is empty", _ID, _put(nonce="")),
    "at_hash_wrong": ("at_hash is another access token's", _ID, _put(at_hash="A" * 22)),
    "at_hash_number": ("at_hash is a number", _ID, _put(at_hash=1)),
    "at_hash_missing": ("there is no at_hash", _ID, _without("at_hash")),
    "auth_time_missing": ("there is no auth_time", _ID, _without("auth_time")),
    "auth_time_old": ("the user signed in two hours ago", _ID, _moved(auth_time=-7200)),
    "auth_time_future": ("the user signs in in two minutes", _ID, _moved(auth_time=120)),
    "auth_time_text": ("auth_time is a text", _ID, _change("auth_time", str)),
    "auth_time_float": ("auth_time has a fraction", _ID, _moved(auth_time=-0.5)),
    "acr_number": ("acr is a number", _ID, _put(acr=2)),
    "sid_number": ("sid is a number", TOKENS, _put(sid=5)),
    "claims_unknown": ("there are claims that nobody knows", TOKENS, _put(x={"y": [1]}, z=None)),
    "event_in_id_token": ("an id token with a logout's event", _ID, _put(events={_EVENT: {}})),
    "events_missing": ("there is no events", _LOGOUT, _without("events")),
    "events_list": ("events is a list", _LOGOUT, _put(events=[_EVENT])),
    "event_wrong": ("the event is another one", _LOGOUT, _put(events={"logout": {}})),
    "event_text": ("the event's value is a text", _LOGOUT, _put(events={_EVENT: "yes"})),
    "event_null": ("the event's value is null", _LOGOUT, _put(events={_EVENT: None})),
    "event_not_empty": ("the event has members", _LOGOUT, _put(events={_EVENT: {"x": 1}})),
    "event_and_other": ("there is another event too", _LOGOUT, _put(events={_EVENT: {}, "x": {}})),
    "nonce_in_logout": ("a logout token with a nonce", _LOGOUT, _put(nonce="n")),
    "jti_missing": ("there is no jti", _LOGOUT, _without("jti")),
    "jti_number": ("jti is a number", _LOGOUT, _put(jti=1)),
    "sub_and_sid_missing": ("neither sub nor sid is there", _LOGOUT, _without("sub", "sid")),
    "sid_missing": ("there is no sid", TOKENS, _without("sid")),
    "life_of_a_day": ("the logout token lives for a day", _LOGOUT, _moved(exp=86400)),
    "life_of_a_quarter": ("the logout token lives for 15 minutes", _LOGOUT, _moved(exp=900)),
}  # fmt: skip

CLAIM_FAULTS: Mapping[str, Fault] = {
    name: Fault(says, at, hook) for name, (says, at, hook) in _CLAIMS.items()
}

PAYLOAD_FAULTS: Mapping[str, Fault] = {
    name: Fault(f"the claims are {says}", TOKENS, _payload(change))
    for name, (says, change) in JSON_CHANGES.items()
}
