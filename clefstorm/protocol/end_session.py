"""RP-initiated logout: asking the provider to end its own session too.

LAW: the id token goes as a hint to its own issuer only.
Source: OpenID Connect RP-Initiated Logout 1.0, section 2.
"""

from __future__ import annotations

from urllib.parse import urlencode

from clefstorm.protocol.authorization import with_query
from clefstorm.protocol.metadata import ProviderMetadata


def build_end_session_url(
    metadata: ProviderMetadata,
    *,
    client_id: str,
    id_token_hint: str | None,
    post_logout_redirect_uri: str | None,
    state: str | None,
) -> str | None:
    """Return the URL to send the browser to, None when the provider has no such endpoint.

    ``state`` is sent only beside a post_logout_redirect_uri, for it comes back nowhere else.
    """
    if metadata.end_session_endpoint is None:
        return None
    chosen = {
        "id_token_hint": id_token_hint,
        "client_id": client_id,
        "post_logout_redirect_uri": post_logout_redirect_uri,
        "state": state if post_logout_redirect_uri is not None else None,
    }
    query = urlencode({name: value for name, value in chosen.items() if value is not None})
    return with_query(metadata.end_session_endpoint, query)
