"""The audit log: one line for each happening on the logger ``clefstorm.audit``.

    signed_in alias=default session=Zb3kT0aQ sub=alice
    {"at": "2026-11-21T09:30:00.250Z", "event": "signed_in", "alias": "default", …}

The second form is AuditJSONFormatter's, for whoever gives it to a handler of that logger.

LAW: writes what the relying party tells its listeners, in one line that nobody can forge; who
records a happening puts no secret in it. Source: OWASP Logging Cheat Sheet (log injection).
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

from clefstorm.relying_party import Happening

_log = logging.getLogger("clefstorm.audit")
_PLAIN = re.compile(r"[A-Za-z0-9._:/@+-]+")
LONGEST_FACT = 200


def write_audit_line(happening: Happening) -> None:
    """Write one line at level INFO: ``event name=value …``; a value that isn't plain is quoted.

    The record's attribute ``happening`` has the whole for formatters that want another form.
    """
    facts = {"alias": happening.alias, **happening.facts}
    shown = " ".join(f"{name}={_shown(value)}" for name, value in facts.items() if value)
    _log.info("%s %s", happening.event, shown, extra={"happening": happening})


class AuditJSONFormatter(logging.Formatter):
    """Turns the audit log to JSON: one ASCII object a line, for a collector of logs.

    Its members are ``at`` (UTC, RFC 3339), ``event``, ``alias`` where there is one, and the
    facts, all strings. A record that is no happening keeps ``at`` and has ``level``, ``logger``
    and ``message``, so that the formatter may also serve a handler of all logs.
    """

    def format(self, record: logging.LogRecord) -> str:
        happening = getattr(record, "happening", None)
        members: dict[str, str]
        if isinstance(happening, Happening):
            members = {"at": _utc(happening.at), "event": happening.event}
            if happening.alias is not None:
                members["alias"] = happening.alias
            members |= {name: _cut(value) for name, value in happening.facts.items()}
        else:
            members = {
                "at": _utc(record.created),
                "level": record.levelname,
                "logger": record.name,
                "message": super().format(record),
            }
        return json.dumps(members)


def _utc(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z")


def _shown(value: str) -> str:
    cut = _cut(value)
    return cut if _PLAIN.fullmatch(cut) else json.dumps(cut)


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_FACT else f"{value[:LONGEST_FACT]}…"
