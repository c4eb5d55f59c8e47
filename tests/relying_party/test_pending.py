"""What comes back in the cookie of a pending login, from whichever version of us."""

from __future__ import annotations

import base64
import json

import pytest

from clefstorm.errors import RequestRefused
from clefstorm.relying_party.pending import state_name


@pytest.mark.parametrize(
    "mangle",
    [
        pytest.param(lambda record: record.pop("previous", None), id="older"),
        pytest.param(lambda record: record.update(colour="red"), id="newer"),
    ],
)
async def test_a_cookie_of_another_version_of_ours_is_none(visitor, mangle) -> None:
    """A pending login that another version sealed is not guessed at: the browser begins anew."""
    parameters = visitor.wire.approve(await visitor.begin())
    state = dict(parameters)["state"]
    ((name, value),) = visitor.cookies.items()
    sealer, known = visitor.relying_party._setting.sealer, {"purpose": "login"}
    known["context"] = state_name(state).removeprefix("state:")
    when, _, sealed = value.partition(".")
    padded = sealed + "=" * (-len(sealed) % 4)
    record = json.loads(sealer.open(base64.urlsafe_b64decode(padded), **known))
    mangle(record)
    changed = base64.urlsafe_b64encode(sealer.seal(json.dumps(record).encode(), **known)).decode()
    visitor.cookies[name] = f"{when}.{changed}"
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(parameters)
    assert refused.value.code == "state_other_browser"
    visitor.cookies[name] = value
    assert (await visitor.finish(parameters)).session.sub == "alice"
