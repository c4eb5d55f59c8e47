"""Print docs/reference/conformance.rst, rule by rule, from the rows themselves:

    .venv/bin/python tests/conformance/table.py > docs/reference/conformance.rst

LAW: says nothing that a row or modules.py does not say; test_table holds the page to it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from types import ModuleType

import test_core
import test_discovery
import test_form_post_mode
import test_jose
import test_oauth
import test_three_logouts
import test_transport
from modules import FORM_POST_PLAN, OTHERS, PLANS, SKIPPED
from rows import Row

PARTS: Sequence[tuple[str, ModuleType]] = (
    ("OpenID Connect Core 1.0", test_core),
    ("Discovery 1.0 and the rotation of keys", test_discovery),
    ("JOSE and JWT", test_jose),
    ("OAuth 2.0, PKCE, issuer identification, best current practice", test_oauth),
    ("Form Post Response Mode", test_form_post_mode),
    ("RP-Initiated, Back-Channel and Front-Channel Logout 1.0", test_three_logouts),
    ("Late, large and broken answers", test_transport),
)

INTRODUCTION = """\
Conformance
===========

What clefstorm refuses, and what it lets pass, rule by rule: {count} rows. Each is a test that
mounts an application, gives it a provider, and looks at both from outside, over HTTP. First the
same login or logout succeeds without the fault; then the provider does what the row says, and the
application has to answer as the row says. A refusal leaves everything as it was: the session lives
on, no cookie is set, nobody else is signed in.

Every row is played twice: with the sessions in memory and the application alone, and with the
sessions in SQLite behind an nginx that ends TLS and cuts a prefix off the path. ::

    ./run test tests/conformance                    # all of them
    ./run test tests/conformance -k nonce_wrong     # one of them

The rows' sources are cited by section: *Core* and *Discovery* are OpenID Connect's, in the text of
errata set 2; *Back-Channel* has its own errata in it. The provider is ``clefstorm.testing``'s, and
every fault has its name there: ``provider.misbehave("nonce_wrong")`` (:doc:`testing`). A code such
as ``nonce_mismatch`` is the one of the exception, on the page, and in the audit log.

This page is printed by ``tests/conformance/table.py``, and a test holds it to the rows.
"""

CERTIFICATION = """\
The OpenID Foundation's modules
-------------------------------

The suite of the OpenID Foundation drives a relying party from outside too. Its plans for the code
flow, module by module, with the rows here that ask the same. These rows are our own; the suite
itself has not been run.
"""

REMAINING = """\
Modules for relying parties that are of none of these plans:
"""


def all_rows() -> list[Row]:
    """Every row, in the page's order."""
    return [row for _, module in PARTS for row in module.ROWS]


def rows_of(module: str, *, form_post: bool = False) -> list[Row]:
    """The rows that name a module, in form_post or not."""
    ours = all_rows() if not form_post else list(test_form_post_mode.ROWS)
    named = [row for row in ours if module in row.modules]
    return named if form_post else [row for row in named if row not in test_form_post_mode.ROWS]


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION.format(count=len(all_rows())), CERTIFICATION]
    for plan, modules in PLANS.items():
        parts.append(f"``{plan}``\n")
        form_post = plan == FORM_POST_PLAN
        parts.append(
            _table(
                ("Module", "Rows"),
                (35, 65),
                ((f"``{name}``", _answered(name, form_post=form_post)) for name in modules),
            )
        )
    parts.append(REMAINING)
    parts.append(
        _table(
            ("Module", "Rows, or why there is none"),
            (35, 65),
            ((f"``{name}``", _answered(name, form_post=None)) for name in OTHERS),
        )
    )
    for title, module in PARTS:
        parts.append(f"{title}\n{'-' * len(title)}\n")
        parts.append(
            _table(
                ("Row", "Source", "What happens", "Outcome"),
                (20, 18, 42, 20),
                ((f"``{r.id}``", r.source, _literal(r.says), r.expected) for r in module.ROWS),
            )
        )
    return "\n".join(parts)


def _answered(module: str, *, form_post: bool | None) -> str:
    if module in SKIPPED:
        return f"none: {SKIPPED[module]}"
    found = rows_of(module, form_post=bool(form_post))
    if form_post is None and not found:
        found = rows_of(module, form_post=True)
    return ", ".join(f"``{row.id}``" for row in found)


def _literal(text: str) -> str:
    """Text in which nothing is markup."""
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("|", "\\|").replace("_", "\\_")


def _table(header: Sequence[str], widths: Sequence[int], lines: Iterable[Sequence[str]]) -> str:
    written = io.StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    shares = " ".join(map(str, widths))
    body = "".join(f"   {line}\n" for line in written.getvalue().splitlines())
    return f".. csv-table::\n   :header-rows: 1\n   :widths: {shares}\n\n{body}"


if __name__ == "__main__":
    print(page(), end="")
