import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokend_server.process.service_manager import READY, STOPPING, tell_service_manager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(
            str(tmp_path / "notify") if request.param == "path" else f"\0tokend-{tmp_path.name}-{id(tmp_path)}"
        )
        listening.settimeout(0)
        yield listening


def environment(manager: socket.socket) -> dict[str, str]:
    name = manager.getsockname()
    return {"NOTIFY_SOCKET": name if isinstance(name, str) else "@" + name[1:].decode()}


def test_the_manager_is_told(manager: socket.socket) -> None:
    tell_service_manager(READY, environment(manager))
    tell_service_manager(STOPPING, environment(manager))
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_a_manager_nothing_is_said(address: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    tell_service_manager(READY, address)
    assert caplog.records == []


@pytest.mark.parametrize("address", ["/no/such/socket", "/tmp", "@no-such-manager", "vsock:2:1", "/" + "long" * 50])
def test_a_manager_that_cannot_be_reached_stops_nothing(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    tell_service_manager(READY, {"NOTIFY_SOCKET": address})
    assert [record.message for record in caplog.records] == ["the service manager cannot be reached"]
