"""Room for newcomers, and hosts that are barred: what happens to real sockets."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.fakes.clock import FakeClock
from tests.rpc.descriptor_cases import CASES
from tests.rpc.guarded_listener import MOST, GuardedListener, name
from tests.support.grpc_service import PATIENCE, grpc_service

from tokend_server.rpc.connection_guard import BAR, ConnectionGuard, largest_first
from tokend_server.rpc.sockets import Connection, Sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the descriptors and the filter are Linux's")

ROOM, MADE_ROOM = 2, 4

#: How long a connection is waited for that does not come.
DROPPED = 0.2


@pytest.fixture(params=["look", "glance"])
def listener(request: pytest.FixtureRequest) -> Iterator[GuardedListener]:
    with ExitStack() as undo:
        yield GuardedListener(undo, request.param)


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def is_open(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True


def test_an_eighth_is_kept_for_newcomers(listener: GuardedListener) -> None:
    clients = [listener.connect() for _ in range(MOST - ROOM)]
    assert all(map(is_open, clients))
    clients.append(listener.connect())
    made = MADE_ROOM - ROOM + 1
    assert [is_open(client) for client in clients] == [False] * made + [True] * (MOST - MADE_ROOM)
    assert listener.ended == made


def test_known_callers_stay_while_strangers_go(listener: GuardedListener) -> None:
    known = [listener.connect() for _ in range(4)]
    for client in known:
        listener.guard.learn(name(client), "key:a")
    strangers = [listener.connect() for _ in range(2 * MOST)]
    assert all(map(is_open, known))
    assert MOST - MADE_ROOM <= len(known) + sum(map(is_open, strangers)) <= MOST - ROOM


def test_the_host_with_the_most_has_to_go_first(listener: GuardedListener) -> None:
    single = listener.connect("127.0.0.2")
    crowd = [listener.connect() for _ in range(MOST)]
    assert is_open(single)
    assert MOST - MADE_ROOM <= 1 + sum(map(is_open, crowd)) <= MOST - ROOM


def test_known_callers_who_have_just_spoken_are_not_cut_off(listener: GuardedListener) -> None:
    clients = []
    for _ in range(MOST):
        clients.append(listener.connect())
        listener.guard.learn(name(clients[-1]), "key:a")
    assert all(map(is_open, clients))


def test_a_host_has_a_second_to_show_who_calls(listener: GuardedListener) -> None:
    for _ in range(MOST - ROOM):
        listener.guard.learn(name(listener.connect()), "key:a")
    newcomer = listener.connect("127.0.0.2")
    assert is_open(newcomer)
    listener.clock.advance(1.0)
    listener.look()
    assert not is_open(newcomer)


def test_a_call_with_more_fields_than_an_accident_has_bars_its_host(listener: GuardedListener) -> None:
    bad, same_host, known = listener.connect("127.0.0.2"), listener.connect("127.0.0.2"), listener.connect("127.0.0.2")
    listener.guard.learn(name(known), "key:a")
    listener.guard.line_of(name(bad), 8192)
    assert not is_open(bad)
    listener.look()
    assert [is_open(same_host), is_open(known)] == [False, True]
    with pytest.raises(TimeoutError):
        listener.connect("127.0.0.2", DROPPED)
    assert is_open(listener.connect())
    listener.clock.advance(BAR)
    listener.look()
    assert is_open(listener.connect("127.0.0.2"))


def test_a_second_offence_bars_for_longer(listener: GuardedListener) -> None:
    for times in (1, 2, 4):
        listener.guard.line_of("ipv4:127.0.0.2:1", 8192)
        listener.clock.advance(times * BAR - 0.1)
        listener.look()
        with pytest.raises(TimeoutError):
            listener.connect("127.0.0.2", DROPPED)
        listener.clock.advance(0.1)
        listener.look()
        assert is_open(listener.connect("127.0.0.2"))


def test_this_machine_itself_is_never_barred_for_longer(listener: GuardedListener) -> None:
    for _ in range(3):
        listener.guard.line_of("ipv4:127.0.0.1:1", 8192)
        listener.look()
        with pytest.raises(TimeoutError):
            listener.connect("127.0.0.1", DROPPED)
        listener.clock.advance(BAR)
        listener.look()
        assert is_open(listener.connect("127.0.0.1"))


def test_a_host_whose_calls_show_no_caller_is_barred(listener: GuardedListener) -> None:
    for port in range(1100):
        listener.guard.line_of(f"ipv4:127.0.0.2:{port}", 8)
    listener.look()
    with pytest.raises(TimeoutError):
        listener.connect("127.0.0.2", DROPPED)


def test_a_host_whose_calls_are_given_up_before_they_can_show_anyone_is_barred(listener: GuardedListener) -> None:
    for port in range(1100):
        peer = f"ipv4:127.0.0.2:{port}"
        assert not listener.guard.abandoned(peer, listener.guard.line_of(peer, 8))
        listener.guard.learn(peer, "key:a")
    listener.look()
    with pytest.raises(TimeoutError):
        listener.connect("127.0.0.2", DROPPED)


def test_a_known_caller_may_give_up_calls(listener: GuardedListener) -> None:
    peer = "ipv4:127.0.0.2:4000"
    listener.guard.learn(peer, "key:a")
    for _ in range(1100):
        assert listener.guard.abandoned(peer, listener.guard.line_of(peer, 8))
    listener.look()
    assert is_open(listener.connect("127.0.0.2"))


@pytest.mark.parametrize("peer", ["", "unknown", "unix:", "ipv6:nonsense:1", "ipv4:nonsense:1"])
def test_a_peer_without_an_address_bars_no_host(listener: GuardedListener, peer: str) -> None:
    for _ in range(1100):
        listener.guard.line_of(peer, 8)
    listener.guard.line_of(peer, 8192)
    listener.look()
    assert is_open(listener.connect())


def test_where_callers_are_not_identified_each_connection_has_its_line(listener: GuardedListener) -> None:
    peers = [f"ipv4:127.0.0.2:{port}" for port in range(1100)]
    assert [listener.guard.line_of_anonymous(peer, 8) for peer in peers] == peers
    listener.look()
    assert is_open(listener.connect("127.0.0.2"))


@pytest.mark.parametrize("case", CASES)
def test_descriptors_are_noticed(case: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.rpc.descriptor_cases", case], check=True, timeout=PATIENCE)


def test_an_equal_crowd_goes_by_age() -> None:
    connections = [Connection(peer, 1, number, 0, float(number)) for number, peer in enumerate("abcab")]
    groups = [[each for each in connections if each.peer == peer] for peer in "abc"]
    order = largest_first(groups, lambda _: 1, lambda each, _last: each.peer != "c")
    assert [(each.peer, each.number) for each in order] == [("a", 0), ("b", 1), ("a", 3), ("b", 4)]


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_a_connection_is_known_by_the_name_that_grpc_gives_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[tuple[str, str]] = []

    def learn(_guard: ConnectionGuard, peer: str, caller: str) -> str:
        learned.append((peer, caller))
        return peer

    monkeypatch.setattr(ConnectionGuard, "learn", learn)
    with grpc_service(listen=[f"{address}:0"]) as service:
        service.call("LookupDeveloperIdentity")
        seen = Sockets(FakeClock().monotonic)
        seen.look()
        port = int(service.address.rpartition(":")[2])
        (connection,) = [each for each in seen.connections if each.port == port]
    assert learned == [(connection.peer, "anonymous")]
