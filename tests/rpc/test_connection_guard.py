"""Room for new connections, and barred hosts, with real sockets."""

import sys
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.rpc import descriptor_cases, guard_cases
from tests.support.forked import run_forked
from tests.support.grpc_service import grpc_service

from tokend_server.rpc.connection_guard import ConnectionGuard, largest_first
from tokend_server.rpc.sockets import Connection, Sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the descriptors and the filter are Linux's")

ADDRESSLESS = "a_peer_without_an_address_bars_no_host"


@pytest.mark.parametrize("by", ["check_all", "check"])
@pytest.mark.parametrize("case", [case for case in guard_cases.CASES if case != ADDRESSLESS])
def test_connections_are_guarded(case: str, by: str, tmp_path: Path) -> None:
    run_forked(guard_cases.__name__, [case, by], tmp_path)


@pytest.mark.parametrize("by", ["check_all", "check"])
@pytest.mark.parametrize("peer", ["", "unknown", "unix:", "ipv6:nonsense:1", "ipv4:nonsense:1"])
def test_a_peer_without_an_address_bars_no_host(peer: str, by: str, tmp_path: Path) -> None:
    run_forked(guard_cases.__name__, [ADDRESSLESS, by, peer], tmp_path)


@pytest.mark.parametrize("case", descriptor_cases.CASES)
def test_descriptors_are_noticed(case: str, tmp_path: Path) -> None:
    run_forked(descriptor_cases.__name__, [case], tmp_path)


def test_among_equal_peers_the_oldest_connections_are_closed_first() -> None:
    connections = [Connection(peer, 1, number, 0, float(number)) for number, peer in enumerate("abcab")]
    groups = [[each for each in connections if each.peer == peer] for peer in "abc"]
    order = largest_first(groups, lambda _: 1, lambda each, _last: each.peer != "c")
    assert [(each.peer, each.number) for each in order] == [("a", 0), ("b", 1), ("a", 3), ("b", 4)]


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_a_connection_is_identified_by_its_grpc_peer_name(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[tuple[str, str]] = []

    def learn(_guard: ConnectionGuard, peer: str, caller: str) -> str:
        learned.append((peer, caller))
        return peer

    monkeypatch.setattr(ConnectionGuard, "learn", learn)
    with grpc_service(listen=[f"{address}:0"]) as service:
        service.call("LookupDeveloperIdentity")
        seen = Sockets(FakeClock().monotonic)
        seen.refresh()
        port = int(service.address.rpartition(":")[2])
        (connection,) = [each for each in seen.connections if each.port == port]
    assert learned == [(connection.peer, "anonymous")]
