"""What is said of an address that can't be used."""

from __future__ import annotations

from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import URLError
from clefstorm.transport import NO_AUTH, Connection, PodConnection


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param(None, "it must be a text", id="none"),
        pytest.param("", "it is empty", id="empty"),
        pytest.param("api.example", "it must begin with http:// or https://", id="no_scheme"),
        pytest.param("ftp://api.example", "it must begin with http:// or https://", id="ftp"),
        pytest.param("https://", "it must have a host", id="no_host"),
        *(
            pytest.param(
                f"https://a.example:{port}",
                "a port is a number between 1 and 65535",
                id=f"port_{port}",
            )
            for port in ("99999", "0", "-1", "x")
        ),
        pytest.param("https://[::1", "it can't be read", id="bracket"),
    ],
)
def test_a_host_that_is_none(host: Any, reason: str) -> None:
    """Each mistake has a reason of its own, which says what has to be."""
    Connection("https://api.example:65535", NO_AUTH)
    with refusal(URLError, "url_invalid") as caught:
        Connection(host, NO_AUTH)
    assert caught.value.evidence == {"reason": reason}


@pytest.mark.parametrize(
    ("port", "says"),
    [
        pytest.param(99999, "between 1 and 65535", id="large"),
        pytest.param("443", "between 1 and 65535", id="text"),
        pytest.param(444, "contradict", id="another"),
    ],
)
def test_a_port_that_is_none(port: Any, says: str) -> None:
    """A number that is no port is told as that, and not as a second port."""
    Connection("https://api.example:443", NO_AUTH, port=443)
    with refusal(URLError, "port_invalid") as caught:
        Connection("https://api.example:443", NO_AUTH, port=port)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        pytest.param("http://pod.example", "plain http is for loopback alone", id="http"),
        pytest.param("ftp://pod.example", "it must begin with https://", id="ftp"),
    ],
)
def test_a_pod_that_is_none(pod: str, reason: str) -> None:
    """A scheme that is no http is not told about http."""
    PodConnection("https://pod.example", "ann", "pa")
    with refusal(URLError, "pod_invalid") as caught:
        PodConnection(pod, "ann", "pa")
    assert caught.value.evidence["reason"] == reason
