"""PKCE: verifier and challenge."""

from __future__ import annotations

import re

from clefstorm.protocol.pkce import new_verifier, s256_challenge


def test_verifier() -> None:
    """A code_verifier is a high-entropy random string of 43 to 128 unreserved characters
    (RFC 7636, section 4.1), and every login has a new one (RFC 9700, section 2.1.1).
    """
    verifiers = {new_verifier() for _ in range(100)}
    assert len(verifiers) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)


def test_challenge_of_the_specification() -> None:
    """code_challenge = BASE64URL-ENCODE(SHA256(ASCII(code_verifier))), without padding
    (RFC 7636, section 4.2; the example of appendix B).
    """
    challenge = s256_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
