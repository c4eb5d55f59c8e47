"""Whatever strangers send, what comes out is a value or an error of ours."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from fuzz.readers import READERS, Reader
from hypothesis import HealthCheck, given, settings

from clefstorm.errors import ClefStormError

EXAMPLES = 60


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_only_errors_of_ours(reader: Reader) -> None:
    """Each reader of outside text returns, or raises a ClefStormError, and nothing else."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(reader.inputs)
    def read(given_input: Any) -> None:
        with suppress(ClefStormError):
            reader.read(given_input)

    read()


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_names_are_unique(reader: Reader) -> None:
    """A row's name finds it."""
    assert [other for other in READERS if other.name == reader.name] == [reader]
