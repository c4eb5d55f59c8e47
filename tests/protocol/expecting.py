"""``refusal``: a block that must be refused, by one class of error and one code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clefstorm.errors import ClefStormError


@contextmanager
def refusal(
    kind: type[ClefStormError], code: str
) -> Iterator[pytest.ExceptionInfo[ClefStormError]]:
    """Expect exactly this class (no parent, no child) with exactly this code."""
    with pytest.raises(ClefStormError) as caught:
        yield caught
    assert (type(caught.value), caught.value.code) == (kind, code)
