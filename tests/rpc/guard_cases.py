"""The guard with real sockets, each case in a separate process: `python -m tests.rpc.guard_cases CASE METHOD`.

`ConnectionGuard.check` detects new connections by the numbers and the count of descriptors, and in a process of tests,
others open and close descriptors.
"""

import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import MappingProxyType

from tests.rpc.guarded_listener import MOST, GuardedListener, name

from tokend_server.rpc.connection_guard import BAR

ROOM, MADE_ROOM = 2, 4

#: How long to wait for a connection that must not arrive.
DROPPED = 0.2


def is_open(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True


def is_dropped(listener: GuardedListener, host: str) -> bool:
    try:
        listener.connect(host, DROPPED)
    except TimeoutError:
        return True
    return False


def an_eighth_is_reserved_for_new_connections(listener: GuardedListener) -> None:
    clients = [listener.connect() for _ in range(MOST - ROOM)]
    assert all(map(is_open, clients))
    clients.append(listener.connect())
    made = MADE_ROOM - ROOM + 1
    assert [is_open(client) for client in clients] == [False] * made + [True] * (MOST - MADE_ROOM)
    assert listener.ended == made


def unidentified_connections_are_closed_before_known_callers(listener: GuardedListener) -> None:
    known = [listener.connect() for _ in range(4)]
    for client in known:
        listener.guard.learn(name(client), "key:a")
    unidentified = [listener.connect() for _ in range(2 * MOST)]
    assert all(map(is_open, known))
    assert MOST - MADE_ROOM <= len(known) + sum(map(is_open, unidentified)) <= MOST - ROOM


def the_host_with_the_most_connections_loses_some_first(listener: GuardedListener) -> None:
    single = listener.connect("127.0.0.2")
    crowd = [listener.connect() for _ in range(MOST)]
    assert is_open(single)
    assert MOST - MADE_ROOM <= 1 + sum(map(is_open, crowd)) <= MOST - ROOM


def recently_active_known_callers_are_not_closed(listener: GuardedListener) -> None:
    clients = []
    for _ in range(MOST):
        clients.append(listener.connect())
        listener.guard.learn(name(clients[-1]), "key:a")
    assert all(map(is_open, clients))


def a_host_has_a_second_to_identify_its_caller(listener: GuardedListener) -> None:
    for _ in range(MOST - ROOM):
        listener.guard.learn(name(listener.connect()), "key:a")
    newcomer = listener.connect("127.0.0.2")
    assert is_open(newcomer)
    listener.clock.advance(1.0)
    listener.check()
    assert not is_open(newcomer)


def a_call_with_excessive_metadata_fields_bars_its_host(listener: GuardedListener) -> None:
    bad, same_host, known = listener.connect("127.0.0.2"), listener.connect("127.0.0.2"), listener.connect("127.0.0.2")
    listener.guard.learn(name(known), "key:a")
    listener.guard.line_of(name(bad), 8192)
    assert not is_open(bad)
    listener.check()
    assert [is_open(same_host), is_open(known)] == [False, True]
    assert is_dropped(listener, "127.0.0.2")
    assert is_open(listener.connect())
    listener.clock.advance(BAR)
    listener.check()
    assert is_open(listener.connect("127.0.0.2"))


def a_second_violation_bars_for_longer(listener: GuardedListener) -> None:
    for times in (1, 2, 4):
        listener.guard.line_of("ipv4:127.0.0.2:1", 8192)
        listener.clock.advance(times * BAR - 0.1)
        listener.check()
        assert is_dropped(listener, "127.0.0.2")
        listener.clock.advance(0.1)
        listener.check()
        assert is_open(listener.connect("127.0.0.2"))


def loopback_is_never_barred_for_longer(listener: GuardedListener) -> None:
    for _ in range(3):
        listener.guard.line_of("ipv4:127.0.0.1:1", 8192)
        listener.check()
        assert is_dropped(listener, "127.0.0.1")
        listener.clock.advance(BAR)
        listener.check()
        assert is_open(listener.connect("127.0.0.1"))


def a_host_with_unidentified_calls_is_barred(listener: GuardedListener) -> None:
    for port in range(1100):
        listener.guard.line_of(f"ipv4:127.0.0.2:{port}", 8)
    listener.check()
    assert is_dropped(listener, "127.0.0.2")


def a_host_with_calls_cancelled_before_identification_is_barred(listener: GuardedListener) -> None:
    for port in range(1100):
        peer = f"ipv4:127.0.0.2:{port}"
        assert not listener.guard.record_abandoned(peer, listener.guard.line_of(peer, 8))
        listener.guard.learn(peer, "key:a")
    listener.check()
    assert is_dropped(listener, "127.0.0.2")


def a_known_caller_may_cancel_calls(listener: GuardedListener) -> None:
    peer = "ipv4:127.0.0.2:4000"
    listener.guard.learn(peer, "key:a")
    for _ in range(1100):
        assert listener.guard.record_abandoned(peer, listener.guard.line_of(peer, 8))
    listener.check()
    assert is_open(listener.connect("127.0.0.2"))


def a_peer_without_an_address_bars_no_host(listener: GuardedListener, peer: str) -> None:
    for _ in range(1100):
        listener.guard.line_of(peer, 8)
    listener.guard.line_of(peer, 8192)
    listener.check()
    assert is_open(listener.connect())


def without_authentication_each_connection_has_its_own_line(listener: GuardedListener) -> None:
    peers = [f"ipv4:127.0.0.2:{port}" for port in range(1100)]
    assert [listener.guard.line_of_anonymous(peer, 8) for peer in peers] == peers
    listener.check()
    assert is_open(listener.connect("127.0.0.2"))


#: The cases by their names; their other arguments follow METHOD.
CASES: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        case.__name__: case
        for case in (
            an_eighth_is_reserved_for_new_connections,
            unidentified_connections_are_closed_before_known_callers,
            the_host_with_the_most_connections_loses_some_first,
            recently_active_known_callers_are_not_closed,
            a_host_has_a_second_to_identify_its_caller,
            a_call_with_excessive_metadata_fields_bars_its_host,
            a_second_violation_bars_for_longer,
            loopback_is_never_barred_for_longer,
            a_host_with_unidentified_calls_is_barred,
            a_host_with_calls_cancelled_before_identification_is_barred,
            a_known_caller_may_cancel_calls,
            a_peer_without_an_address_bars_no_host,
            without_authentication_each_connection_has_its_own_line,
        )
    }
)

if __name__ == "__main__":
    case, by, *arguments = sys.argv[1:]
    with ExitStack() as closing:
        CASES[case](GuardedListener(closing, by), *arguments)
