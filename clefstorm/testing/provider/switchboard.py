"""The switchboard: every misbehaviour of the embedded provider that has a name.

    provider.misbehave("iss_wrong")                         # in id tokens, the usual place
    provider.misbehave("iss_wrong", at="logout_token")
    provider.misbehave("drips", at="userinfo")
    provider.behave()                                       # all is well again

LAW: the provider is correct until a fault is switched on, and again when it is switched off.
"""

from __future__ import annotations

from collections.abc import Mapping

from clefstorm.errors import ConfigurationError
from clefstorm.testing.provider.faults import (
    ENDPOINTS,
    TAMPERED,
    Answer,
    Fault,
    FaultTable,
    Tamper,
)
from clefstorm.testing.provider.faulty_answers import ANSWER_FAULTS, ENDPOINT_FAULTS, JSON_FAULTS
from clefstorm.testing.provider.faulty_documents import DOCUMENT_FAULTS
from clefstorm.testing.provider.faulty_signatures import SIGNATURE_FAULTS
from clefstorm.testing.provider.faulty_tokens import CLAIM_FAULTS, PAYLOAD_FAULTS

_PLACES: Mapping[tuple[str, str], Fault] = {
    (name, place): fault
    for faults in (
        *(CLAIM_FAULTS, SIGNATURE_FAULTS, PAYLOAD_FAULTS),
        *(DOCUMENT_FAULTS, ENDPOINT_FAULTS, ANSWER_FAULTS, JSON_FAULTS),
    )
    for name, fault in faults.items()
    for place in fault.at
}

FAULTS: Mapping[str, tuple[str, ...]] = {
    name: tuple(place for known, place in _PLACES if known == name) for name, _ in _PLACES
}
"""The names of all faults, each with the places where it can be switched on, the usual first."""


def fault_of(name: str, at: str | None = None) -> tuple[str, Fault]:
    """Return where a fault is switched on, and the fault; ``at`` None is its usual place.

    Raises ConfigurationError (``fault_unknown``).
    """
    place = FAULTS.get(name, ("",))[0] if at is None else at
    if (name, place) not in _PLACES:
        raise ConfigurationError(
            "the provider has no such fault; clefstorm.testing.FAULTS names them all",
            code="fault_unknown",
            expected=", ".join(FAULTS.get(name, ())) or None,
            got=name if at is None else f"{name} at {at}",
        )
    return place, _PLACES[name, place]


class Switchboard:
    """The two tables of hooks, and switches for the faults that have a name."""

    def __init__(self) -> None:
        self.tamper: FaultTable[Tamper] = FaultTable(TAMPERED)
        self.answer_instead: FaultTable[Answer] = FaultTable(ENDPOINTS)

    def switch_on(self, name: str, *, at: str | None = None) -> None:
        """Switch one fault on; raises ConfigurationError (``fault_unknown``)."""
        place, fault = fault_of(name, at)
        self.tamper[place] = fault.hook
        for other, hook in fault.also.items():
            self.tamper[other] = hook

    def switch_off(self) -> None:
        """Take out every fault, the test's own hooks and answers too."""
        self.tamper.clear()
        self.answer_instead.clear()
