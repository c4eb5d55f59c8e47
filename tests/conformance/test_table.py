"""The table in the docs is the rows', and the rows leave nothing out without saying why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from modules import FORM_POST_PLAN, OTHERS, PLANS, SKIPPED
from rows import FaultRow
from table import all_rows, page, rows_of

from clefstorm.testing import FAULTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "conformance.rst"
MODULES = sorted({*OTHERS, *(name for modules in PLANS.values() for name in modules)})


def test_the_page_is_printed_from_the_rows() -> None:
    """docs/reference/conformance.rst is what table.py prints."""
    assert PAGE.read_text() == page(), "print it anew: table.py says how"


def test_no_two_rows_have_one_name() -> None:
    """A row is found by its name."""
    assert [name for name, n in Counter(row.id for row in all_rows()).items() if n > 1] == []


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_a_row_or_a_reason(module: str) -> None:
    """No module of the OpenID Foundation's plans is left out silently."""
    rows = rows_of(module) + rows_of(module, form_post=True)
    assert bool(rows) != (module in SKIPPED)


@pytest.mark.parametrize("module", PLANS[FORM_POST_PLAN])
def test_each_basic_module_has_a_row_in_form_post(module: str) -> None:
    """The form post plan is the basic one in that mode."""
    assert rows_of(module, form_post=True)


def test_rows_name_known_modules_only() -> None:
    """A misspelled module is not taken for covered."""
    assert {name for row in all_rows() for name in row.modules} <= set(MODULES)
    assert set(SKIPPED) <= set(MODULES)


def test_the_plans_modules_are_all_asked() -> None:
    """Of the certification plans' modules none is skipped."""
    assert not [name for modules in PLANS.values() for name in modules if name in SKIPPED]


def test_each_fault_has_a_row() -> None:
    """What the switchboard can do is done in the table."""
    used = {row.fault for row in all_rows() if isinstance(row, FaultRow)}
    assert sorted(set(FAULTS) - used) == []


def test_each_row_cites_its_source() -> None:
    """Whoever doubts a row finds where it stands."""
    assert [row.id for row in all_rows() if not any(c.isdigit() for c in row.source)] == []
