"""Nothing came from the bus, and why."""

from __future__ import annotations

from clefstorm.errors.error import ClefStormError


class BusError(ClefStormError):
    """Something about the bus."""

    default_code = "bus"


class BusTimeoutError(BusError, TimeoutError):
    """Nothing was notified before the timeout."""

    default_code = "bus_timeout"

    def __init__(
        self,
        message: str = "no notification came in time",
        *,
        code: str | None = None,
        **evidence: object,
    ) -> None:
        if code is not None or evidence:
            super().__init__(message, code=code, **evidence)
            return
        # Thousands may end in one moment, so the usual one does the least.
        Exception.__init__(self, message)
        self.message, self.code, self.evidence = message, self.default_code, {}


class BusClosed(BusError):
    """The bus was closed while, or before, the call waited."""

    default_code = "bus_closed"


class SlowSubscriber(BusError):
    """The subscriber fell so far behind that it was cut off; subscribe again with ``after``."""

    default_code = "slow_subscriber"
