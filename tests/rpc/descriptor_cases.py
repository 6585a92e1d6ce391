"""The detection of new descriptors, each case in a separate process: `python -m tests.rpc.descriptor_cases CASE`.

In a process of tests, others open and close descriptors at any moment, so that neither their numbers nor their count is
predictable.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, MappingProxyType
from unittest.mock import patch

from tests.fakes.clock import FakeClock
from tests.rpc.guarded_listener import GuardedListener, name

from tokend_server.rpc import sockets
from tokend_server.rpc.connection_guard import FULL_CHECK_INTERVAL
from tokend_server.rpc.peers import peer_name
from tokend_server.rpc.sockets import Sockets


def quiet_connections_cost_no_work(undo: ExitStack) -> None:
    listener = GuardedListener(undo, most=1000)
    quiet = []
    for _ in range(2):
        for _ in range(50):
            listener.connect()
        listener.check()
        quiet.append(work_of(listener.check))
    assert quiet[0] == quiet[1]
    listener.clock.advance(FULL_CHECK_INTERVAL)
    assert work_of(listener.check) > 10 * quiet[1]


def a_new_connection_costs_no_work_for_existing_ones(undo: ExitStack) -> None:
    listener = GuardedListener(undo, most=1000)
    for _ in range(50):
        listener.connect()
    before = max(work_of(listener.connect) for _ in range(2))
    for _ in range(50):
        listener.connect()
    assert work_of(listener.connect) - before < 50  # one check of it, and none of the existing ones


def work_of(act: Callable[[], object]) -> int:
    """Returns how many functions an action calls, in Python and in C."""
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


def changed_descriptors_are_noticed_where_they_are_not_counted(undo: ExitStack) -> None:
    with patch.object(sockets, "_COUNTED", "/nowhere"):
        changed_descriptors_are_noticed(undo)


def changed_descriptors_are_noticed(undo: ExitStack) -> None:
    seen = Sockets(FakeClock().monotonic)
    seen.refresh()
    before = {each.peer for each in seen.connections}
    server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = undo.enter_context(socket.create_connection(server.getsockname()[:2]))
    accepted, _ = server.accept()
    assert seen.refresh_changed()
    assert {each.peer for each in seen.connections} - before == {name(client), peer_name(server.getsockname())}
    assert not seen.refresh_changed()
    accepted.close()
    assert seen.refresh_changed()
    assert name(client) not in {each.peer for each in seen.connections}


def a_connection_with_a_reused_descriptor_is_found_by_the_next_refresh(undo: ExitStack) -> None:
    server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
    clients = [undo.enter_context(socket.create_connection(server.getsockname()[:2])) for _ in range(2)]
    accepted, _ = server.accept()
    seen = Sockets(FakeClock().monotonic)
    seen.refresh()
    descriptor = accepted.fileno()
    accepted.close()
    assert undo.enter_context(server.accept()[0]).fileno() == descriptor
    seen.refresh()
    peers = {each.peer for each in seen.connections}
    assert (name(clients[0]) in peers, name(clients[1]) in peers) == (False, True)


def a_connection_with_the_descriptor_of_a_closed_file_is_found(undo: ExitStack) -> None:
    server = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
    client = undo.enter_context(socket.create_connection(server.getsockname()[:2]))
    seen = Sockets(FakeClock().monotonic)
    with Path(os.devnull).open("rb") as file:
        descriptor = file.fileno()
        seen.refresh()
    assert undo.enter_context(server.accept()[0]).fileno() == descriptor
    undo.enter_context(socket.socket())  # so that their count differs
    assert seen.refresh_changed()
    assert name(client) in {each.peer for each in seen.connections}


#: The cases by their names.
CASES: Mapping[str, Callable[[ExitStack], None]] = MappingProxyType(
    {
        case.__name__: case
        for case in (
            quiet_connections_cost_no_work,
            a_new_connection_costs_no_work_for_existing_ones,
            changed_descriptors_are_noticed,
            changed_descriptors_are_noticed_where_they_are_not_counted,
            a_connection_with_a_reused_descriptor_is_found_by_the_next_refresh,
            a_connection_with_the_descriptor_of_a_closed_file_is_found,
        )
    }
)

if __name__ == "__main__":
    with ExitStack() as closing:
        CASES[sys.argv[1]](closing)
