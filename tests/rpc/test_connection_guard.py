"""Room for newcomers, and hosts that are barred: what happens to real sockets."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import pytest
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import PATIENCE, grpc_service

from tokend_server.rpc import sockets
from tokend_server.rpc.connection_guard import BAR, THOROUGH, ConnectionGuard, largest_first
from tokend_server.rpc.peers import peer_name
from tokend_server.rpc.sockets import Connection, Sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the descriptors and the filter are Linux's")

MOST = 16
ROOM, MADE_ROOM = 2, 4

#: How long a connection is waited for that does not come.
DROPPED = 0.2


class GuardedListener:
    """A guard that looks when it is asked to, before a listener of this process.

    Args:
        undo: What closes its sockets.
        by: How the guard looks: `look`, or `glance`, as it does by itself.
        most: How many connections there may be.
    """

    def __init__(self, undo: ExitStack, by: str = "glance", most: int = MOST) -> None:
        self.clock = FakeClock()
        self.ended = 0
        self.guard = ConnectionGuard(8192, self._count, self.clock)
        self.look: Callable[[], bool] = getattr(self.guard, by)
        self._undo = undo
        self._listener = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port: int = self._listener.getsockname()[1]
        self.guard.watch(self.port, most)

    def _count(self) -> None:
        self.ended += 1

    def connect(self, host: str = "127.0.0.1", within: float = PATIENCE) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), within, source_address=(host, 0))
        self._undo.enter_context(client)
        self._undo.enter_context(self._listener.accept()[0])
        self.clock.advance(0.001)
        self.look()
        return client


@pytest.fixture(params=["look", "glance"])
def listener(request: pytest.FixtureRequest) -> Iterator[GuardedListener]:
    with ExitStack() as undo:
        yield GuardedListener(undo, request.param)


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def name(client: socket.socket) -> str:
    return peer_name(client.getsockname())


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


def test_quiet_connections_cost_no_work(undo: ExitStack) -> None:
    listener = GuardedListener(undo, most=1000)
    quiet = []
    for _ in range(2):
        for _ in range(50):
            listener.connect()
        listener.look()
        quiet.append(work_of(listener.look))
    assert quiet[0] == quiet[1]
    listener.clock.advance(THOROUGH)
    assert work_of(listener.look) > 10 * quiet[1]


def test_of_connections_that_come_and_go_each_costs_its_own_work(undo: ExitStack) -> None:
    listener = GuardedListener(undo, most=1000)
    for _ in range(50):
        listener.connect()
    before = max(work_of(listener.connect) for _ in range(2))
    for _ in range(50):
        listener.connect()
    assert work_of(listener.connect) - before < 50  # one look at it, and none at those that were there


def work_of(act: Callable[[], object]) -> int:
    """How many functions an act calls, of Python's and of C's."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("counted_in", ["/proc/self/fd", "/nowhere"])
def test_a_glance_sees_who_comes_and_goes(counted_in: str, undo: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_COUNTED", counted_in)
    seen = Sockets(FakeClock().monotonic)
    seen.look()
    before = {each.peer for each in seen.connections}
    server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = undo.enter_context(socket.create_connection(server.getsockname()[:2]))
    accepted, _ = server.accept()
    assert seen.glance()
    assert {each.peer for each in seen.connections} - before == {name(client), peer_name(server.getsockname())}
    assert not seen.glance()
    accepted.close()
    assert seen.glance()
    assert name(client) not in {each.peer for each in seen.connections}


def test_a_connection_in_the_descriptor_of_another_one_is_seen_by_the_next_look(undo: ExitStack) -> None:
    server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
    clients = [undo.enter_context(socket.create_connection(server.getsockname()[:2])) for _ in range(2)]
    accepted, _ = server.accept()
    seen = Sockets(FakeClock().monotonic)
    seen.look()
    descriptor = accepted.fileno()
    accepted.close()
    assert undo.enter_context(server.accept()[0]).fileno() == descriptor
    seen.look()
    peers = {each.peer for each in seen.connections}
    assert (name(clients[0]) in peers, name(clients[1]) in peers) == (False, True)


def test_a_file_that_was_closed_hides_no_connection(undo: ExitStack) -> None:
    server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = undo.enter_context(socket.create_connection(server.getsockname()[:2]))
    seen = Sockets(FakeClock().monotonic)
    with Path(os.devnull).open("rb") as file:
        descriptor = file.fileno()
        seen.look()
    assert undo.enter_context(server.accept()[0]).fileno() == descriptor
    undo.enter_context(socket.socket())  # so that their number is another one
    assert seen.glance()
    assert name(client) in {each.peer for each in seen.connections}


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
