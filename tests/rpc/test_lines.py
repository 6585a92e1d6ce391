"""The queue of a connection's calls, and the turns of connections."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.fakes.clock import FakeClock, MeetingClock

from tokend_server.rpc.fair_queue import FairQueue
from tokend_server.rpc.peers import Lines, host_of, is_loopback, peer_name
from tokend_server.rpc.turns import Turns
from tokend_server.rpc.unidentified_calls import UnidentifiedCalls


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:192.0.2.7:50000", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:50000", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2::9]:50000", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%251%5D:50000", "fe80::/64"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_the_host_of_a_peer_is_its_ipv4_address_or_ipv6_network(peer: str, host: str) -> None:
    assert host_of(peer) == host


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (("192.0.2.7", 50000), "ipv4:192.0.2.7:50000"),
        (("::ffff:192.0.2.7", 50000, 0, 0), "ipv4:192.0.2.7:50000"),
        (("2001:db8::1", 50000, 0, 0), "ipv6:%5B2001:db8::1%5D:50000"),
    ],
)
def test_a_peer_is_named_as_grpc_does(address: tuple[str, int], peer: str) -> None:
    assert peer_name(address) == peer


def test_only_127_0_0_1_and_ipv6_loopback_are_loopback_hosts() -> None:
    peers = ["ipv4:127.0.0.1:1", "ipv6:%5B::1%5D:1", "ipv4:127.0.0.2:1", "ipv6:%5B2001:db8::1%5D:1"]
    assert [is_loopback(host_of(peer)) for peer in peers] == [True, True, False, False]


def test_connections_of_a_host_share_a_line_until_identified() -> None:
    lines = Lines()
    first, second, third = (f"ipv4:192.0.2.7:{port}" for port in (1, 2, 3))
    assert lines.of(first) == lines.of(second)
    lines.learn(first, "key:a")
    lines.learn(second, "key:a")
    lines.learn(third, "key:b")
    assert lines.of(first) == lines.of(second) != lines.of(third)
    lines.learn("ipv4:192.0.2.8:1", "key:a")
    assert lines.of("ipv4:192.0.2.8:1") != lines.of(first)
    lines.retain({second})
    assert [lines.knows(peer) for peer in (first, second, third)] == [False, True, False]


def test_connections_in_a_line_take_turns() -> None:
    queue: FairQueue[str] = FairQueue(100, FakeClock())
    for task, connection in [("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")]:
        queue.offer(task, "host", connection)
    queue.offer("c1", "other", "c")
    assert [queue.take() for _ in range(5)] == ["a1", "c1", "b1", "a2", "a3"]
    queue.close()


def test_a_task_can_be_cancelled() -> None:
    turns: Turns[str] = Turns()
    turns.append("a1", "a")
    turns.append("b1", "b")
    assert "a1" in turns
    turns.remove("a1")
    assert "a1" not in turns
    assert (turns.count, turns.popleft(), turns.count) == (1, "b1", 0)
    with pytest.raises(ValueError, match="no such task"):
        turns.remove("a1")


def test_only_unidentified_calls_of_a_host_count_as_a_flood() -> None:
    floods: list[str] = []
    clock = FakeClock()
    calls = UnidentifiedCalls(10.0, 5, floods.append, clock)
    for port in range(20):
        calls.count_call(f"ipv4:192.0.2.7:{port}")
        calls.discount(f"ipv4:192.0.2.7:{port}")
    assert floods == []
    for port in range(6):
        calls.count_call(f"ipv4:192.0.2.7:{port}")
    calls.count_call("ipv4:192.0.2.8:1")
    assert floods == ["192.0.2.7"]
    clock.advance(0.1)
    calls.count_call("ipv4:192.0.2.7:1")
    assert floods == ["192.0.2.7"]


def test_first_calls_of_a_host_at_once_share_one_burst() -> None:
    floods: list[str] = []
    unidentified = UnidentifiedCalls(1, 1, floods.append, MeetingClock())
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(unidentified.count_call, ("ipv4:192.0.2.7:1", "ipv4:192.0.2.7:2")))
    assert floods == ["192.0.2.7"]
