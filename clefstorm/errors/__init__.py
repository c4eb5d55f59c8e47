"""Every exception that clefstorm raises on purpose.

    ClefStormError
    ├── ConfigurationError        you: an option, a file or an alias is wrong
    │   ├── UnknownAlias          (also a KeyError)
    │   └── URLError              a host or URL that can't be used (also a ValueError)
    ├── RequestRefused            the browser, or whoever called us, sent what we don't accept
    │   └── LoginDenied           the application's own on_login said no
    ├── ProviderError             the provider answered by its rules, and the answer is no
    │   ├── AuthorizationRefused  at the callback: access_denied, login_required, …
    │   ├── TokenRefused          at the token endpoint: invalid_grant, invalid_client, …
    │   └── ClefAPIError          a call of the Clef API: its message, and the HTTP status
    ├── ProtocolViolation         the provider broke the rules: a check failed
    │   └── DocumentViolation     its metadata or keys can't be used: no word about a token
    ├── TransportError            no usable answer arrived
    │   ├── ConnectFailed         refused, unresolved, TLS broken (also a ConnectionError)
    │   ├── DeadlineExceeded      too slow (also a TimeoutError)
    │   └── AnswerTooLarge        more bytes than we agreed to read
    ├── HTTPStatusError           json_request: the server answered, with no success; any status
    │   ├── ClientError           400 to 499
    │   │   ├── BadRequest
    │   │   ├── Unauthorized
    │   │   ├── Forbidden
    │   │   ├── NotFound
    │   │   ├── MethodNotAllowed
    │   │   ├── Conflict
    │   │   ├── Gone
    │   │   ├── UnsupportedMediaType
    │   │   └── TooManyRequests
    │   └── ServerError           500 to 599
    │       ├── InternalServerError
    │       ├── BadGateway
    │       ├── ServiceUnavailable
    │       └── GatewayTimeout
    ├── SealBroken                a sealed value was altered, is foreign, or its key was retired
    ├── SessionError
    │   ├── SessionEnded          it was revoked or expired; whoever holds it must sign in again
    │   ├── SessionConflict       somebody saved a newer version first
    │   └── StoreUnavailable      the store can't be reached; nothing is known about the session
    └── BusError
        ├── BusTimeoutError       nothing came in time (also a TimeoutError)
        ├── BusClosed             we stopped
        └── SlowSubscriber        the subscriber did not read for so long that it was cut off

LAW: an exception carries a stable ``code`` and ``evidence`` (which check, what was expected,
what was got), never a token, a code, a secret or a whole response. Tests and logs use the code;
the sentence may change. To add an error: prefer a new code on an existing class.
"""

from __future__ import annotations

from clefstorm.errors.bus import (
    BusClosed,
    BusError,
    BusTimeoutError,
    SlowSubscriber,
)
from clefstorm.errors.error import (
    ClefStormError,
    ConfigurationError,
    LoginDenied,
    RequestRefused,
    SealBroken,
    UnknownAlias,
    URLError,
)
from clefstorm.errors.provider import (
    AuthorizationRefused,
    ClefAPIError,
    DocumentViolation,
    ProtocolViolation,
    ProviderError,
    TokenRefused,
)
from clefstorm.errors.session import (
    SessionConflict,
    SessionEnded,
    SessionError,
    StoreUnavailable,
)
from clefstorm.errors.status import (
    BadGateway,
    BadRequest,
    ClientError,
    Conflict,
    Forbidden,
    GatewayTimeout,
    Gone,
    HTTPStatusError,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
    ServerError,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
    class_of_status,
)
from clefstorm.errors.transport import (
    AnswerTooLarge,
    ConnectFailed,
    DeadlineExceeded,
    TransportError,
)

__all__ = [
    "AnswerTooLarge",
    "AuthorizationRefused",
    "BadGateway",
    "BadRequest",
    "BusClosed",
    "BusError",
    "BusTimeoutError",
    "ClefAPIError",
    "ClefStormError",
    "ClientError",
    "ConfigurationError",
    "Conflict",
    "ConnectFailed",
    "DeadlineExceeded",
    "DocumentViolation",
    "Forbidden",
    "GatewayTimeout",
    "Gone",
    "HTTPStatusError",
    "InternalServerError",
    "LoginDenied",
    "MethodNotAllowed",
    "NotFound",
    "ProtocolViolation",
    "ProviderError",
    "RequestRefused",
    "SealBroken",
    "ServerError",
    "ServiceUnavailable",
    "SessionConflict",
    "SessionEnded",
    "SessionError",
    "SlowSubscriber",
    "StoreUnavailable",
    "TokenRefused",
    "TooManyRequests",
    "TransportError",
    "URLError",
    "Unauthorized",
    "UnknownAlias",
    "UnsupportedMediaType",
    "class_of_status",
]
