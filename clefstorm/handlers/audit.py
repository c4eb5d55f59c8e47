"""The audit log: one line for each happening on the logger ``clefstorm.audit``.

    2026-11-21 09:30:00 signed_in alias=default session=Zb3kT0aQ sub=alice

LAW: writes what the relying party tells its listeners, in one line that nobody can forge; who
records a happening puts no secret in it. Source: OWASP Logging Cheat Sheet (log injection).
"""

from __future__ import annotations

import json
import logging
import re

from clefstorm.relying_party import Happening

_log = logging.getLogger("clefstorm.audit")
_PLAIN = re.compile(r"[A-Za-z0-9._:/@+-]+")
LONGEST_FACT = 200


def write_audit_line(happening: Happening) -> None:
    """Write one line at level INFO: ``event name=value …``; a value that isn't plain is quoted.

    The record's attribute ``happening`` has the whole for handlers that want another form.
    """
    facts = {"alias": happening.alias, **happening.facts}
    shown = " ".join(f"{name}={_shown(value)}" for name, value in facts.items() if value)
    _log.info("%s %s", happening.event, shown, extra={"happening": happening})


def _shown(value: str) -> str:
    cut = value if len(value) <= LONGEST_FACT else f"{value[:LONGEST_FACT]}…"
    return cut if _PLAIN.fullmatch(cut) else json.dumps(cut)
