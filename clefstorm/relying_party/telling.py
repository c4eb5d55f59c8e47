"""Telling the listeners (an audit log, a live view) what happened.

LAW: who only watches stops nothing. Source: DESIGN section 5 (the audit log).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from clefstorm.relying_party.outcomes import Happening

_log = logging.getLogger("clefstorm.relying_party")

Listener = Callable[[Happening], None]


def tell(listeners: Iterable[Listener], happening: Happening) -> None:
    """Call each listener; one that fails is logged, and the others are told all the same."""
    for listener in listeners:
        try:
            listener(happening)
        except Exception:
            # Who only watches must not stop a login, or a logout halfway through.
            _log.exception("a listener failed at %s", happening.event)
