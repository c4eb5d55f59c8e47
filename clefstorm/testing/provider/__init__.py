"""The embedded OpenID provider; ``python -m clefstorm.testing.provider`` serves one alone.

Arrows: provider → eternaltwin → sign_in, end_session, endpoints, clef, pod, admin → web,
id_token_hint → authority → token_grants, clef_grants, signing, back_channel, posts → store →
clients, accounts, faults.
"""

from clefstorm.testing.provider.accounts import Account, demo_accounts
from clefstorm.testing.provider.authority import RequestSeen
from clefstorm.testing.provider.back_channel import Delivery
from clefstorm.testing.provider.clients import Client
from clefstorm.testing.provider.faults import Answer, TokenDraft
from clefstorm.testing.provider.provider import Provider
from clefstorm.testing.provider.store import ProviderSession

__all__ = [
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
