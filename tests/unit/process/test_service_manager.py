import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokend_server.process.service_manager import (
    READY,
    STOPPING,
    notify_service_manager,
    notify_watchdog,
    start_watchdog,
    watchdog_seconds,
)


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


def test_the_service_manager_is_notified(manager: socket.socket) -> None:
    notify_service_manager(READY, environment(manager))
    notify_service_manager(STOPPING, environment(manager))
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_a_service_manager_nothing_is_sent(address: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    notify_service_manager(READY, address)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("/no/such/socket", "No such file or directory"),
        ("/tmp", "Connection refused"),
        ("@no-such-manager", "Connection refused"),
        ("vsock:2:1", "No such file or directory"),
        ("/" + "long" * 50, "AF_UNIX path too long"),
    ],
)
def test_an_unreachable_service_manager_only_causes_a_warning(
    address: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    notify_service_manager(READY, {"NOTIFY_SOCKET": address})
    (record,) = caplog.records
    assert (record.message, vars(record)["problem"]) == ("the service manager cannot be reached", problem)


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "4711"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "4712"}, None),
        ({"WATCHDOG_PID": "4711"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_seconds_are_read_for_this_process(variables: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(variables, 4711) == seconds


def test_the_watchdog_is_not_notified_while_a_check_fails(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    notify_watchdog([], environment(manager))
    assert manager.recv(100) == b"WATCHDOG=1"
    notify_watchdog(["grpc 127.0.0.1:1: no call of tokend's own has passed for 61 s"], environment(manager))
    with pytest.raises(BlockingIOError):
        manager.recv(100)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_the_watchdog_notifies_the_service_manager_repeatedly(manager: socket.socket) -> None:
    manager.settimeout(None)
    watchdog = start_watchdog(list, environment(manager) | {"WATCHDOG_USEC": "2000"})
    assert watchdog
    assert [manager.recv(100) for _time in range(2)] == [b"WATCHDOG=1"] * 2
    watchdog.stop()


def test_no_watchdog_is_started_without_watchdog_usec(manager: socket.socket) -> None:
    assert start_watchdog(list, environment(manager)) is None
