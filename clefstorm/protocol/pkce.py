"""Proof Key for Code Exchange: the code is worth nothing without the verifier.

LAW: only S256; the verifier leaves this machine in the token request alone. Source: RFC 7636.
"""

from __future__ import annotations

import base64
import hashlib
import secrets


def new_verifier() -> str:
    """Return a fresh code_verifier of 256 random bits (RFC 7636, section 4.1)."""
    return secrets.token_urlsafe(32)


def s256_challenge(code_verifier: str) -> str:
    """Return the code_challenge of method S256 (RFC 7636, section 4.2)."""
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
