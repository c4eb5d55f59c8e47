"""The kinds of provider that clefstorm signs in with.

LAW: data first, flows where they differ; no I/O, no framework.
"""

from clefstorm.providers.clef import ClefProvider
from clefstorm.providers.eternaltwin import EternaltwinProvider
from clefstorm.providers.oauth2 import OAuth2Provider
from clefstorm.providers.openid import OpenIDProvider
from clefstorm.providers.provider import BegunLogin, LoginParameters, Provider, SignedIn

__all__ = [
    "BegunLogin",
    "ClefProvider",
    "EternaltwinProvider",
    "LoginParameters",
    "OAuth2Provider",
    "OpenIDProvider",
    "Provider",
    "SignedIn",
]
