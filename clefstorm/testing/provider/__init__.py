"""The embedded OpenID provider; ``python -m clefstorm.testing.provider`` serves one alone.

Arrows: provider → eternaltwin, introspection, pushed → sign_in, end_session, endpoints, clef, pod,
admin → api_tokens, web, id_token_hint → authority → client_proofs, client_tokens, token_claims →
token_grants, clef_grants, pushed_requests, signing, back_channel, posts → store → clients,
accounts; authority → switchboard → faulty_answers, faulty_signatures → faulty_tokens, forgery →
faulty_json → faults.
"""

from clefstorm.testing.provider.accounts import Account, demo_accounts
from clefstorm.testing.provider.authority import RequestSeen
from clefstorm.testing.provider.back_channel import Delivery
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.faults import Answer, TokenDraft
from clefstorm.testing.provider.provider import Provider
from clefstorm.testing.provider.store import ProviderSession
from clefstorm.testing.provider.switchboard import FAULTS

__all__ = [
    "FAULTS",
    "Account",
    "Answer",
    "Client",
    "Delivery",
    "Provider",
    "ProviderSession",
    "RequestSeen",
    "TokenDraft",
    "demo_accounts",
]
