"""Attacks on the gRPC port while an innocent caller makes calls.

By default, the attacker is a caller with a certificate: others do not get beyond TLS.
"""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.attacks.attacks import ATTACKS
from tests.attacks.flood import Flood, Tally, run
from tests.attacks.stage import ATTACKER, INTERVAL, InnocentCaller, Size, Stage, stage
from tests.support.grpc_service import TIMEOUT

from tokend_server.config import Grpc

SECONDS = 2.0

#: The number of calls of the innocent caller that show the effect of an attack; they end the attack.
ENOUGH = 40

#: The setting `max_connections` of the attacked server.
MOST_CONNECTIONS = 100

#: The maximum growth by one attack. Memory includes that of 400 calls, and what the allocator keeps.
MOST_MORE_MEBIBYTES = 400
MOST_MORE_DESCRIPTORS = MOST_CONNECTIONS + 50

_CONCURRENT_CALLS = 450

_SETTINGS = f"""
max_connections = {MOST_CONNECTIONS}
message_timeout_seconds = 2
handshake_timeout_seconds = 1
"""

_LIMITS = f"""
[limits]
concurrent_calls = {_CONCURRENT_CALLS}
[limits.callers."{ATTACKER}"]
calls_per_second = 20
calls_burst = 20
"""

#: The attack that keeps gRPC's own thread busy before any code of the service runs.
OUT_OF_REACH = "references without an acknowledgement"

#: Attacks that are made with fewer connections, so that they end in time on a busy machine.
CONNECTIONS = {"metadata by reference": 1, "references without an acknowledgement": 1}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("attacked"), _SETTINGS, _LIMITS) as running:
        yield running


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != OUT_OF_REACH])
def test_calls_succeed_during_attacks_by_another_caller(attacked: Stage, name: str) -> None:
    with attacked.channel(retries=True) as channel:
        innocent = InnocentCaller(attacked, channel)
        assert innocent.call() is None
        before, series = Size.of(attacked.server.pid), attacked.series()

        with attacked.attacked(name, SECONDS, connections=CONNECTIONS.get(name)) as attack:
            observed = innocent.call_during(attack, ENOUGH)

        assert not observed.failures
        assert observed.calls
        assert attack.tally["connected"]
        assert innocent.call() is None
    assert observed.most_resident_mebibytes < before.resident_mebibytes + MOST_MORE_MEBIBYTES
    assert observed.most_threads <= before.threads + _CONCURRENT_CALLS
    assert observed.most_descriptors <= before.descriptors + MOST_MORE_DESCRIPTORS
    assert attacked.series() == series
    with attacked.channel() as channel:
        assert InnocentCaller(attacked, channel).call() is None


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("keyed"), _SETTINGS, open_to_unauthenticated=True) as running:
        yield running


@pytest.mark.parametrize("unauthenticated", [False, True])
def test_calls_recover_after_attacks_that_grpc_handles_first(tmp_path: Path, *, unauthenticated: bool) -> None:
    # server/SECURITY.md describes its effect, and the proxy that prevents it.
    with stage(tmp_path, _SETTINGS, open_to_unauthenticated=unauthenticated) as running:
        with running.attacked(OUT_OF_REACH, SECONDS, connections=CONNECTIONS[OUT_OF_REACH]) as attack:
            while not attack.is_over(within=INTERVAL):
                pass
        with running.channel() as channel:
            innocent = InnocentCaller(running, channel)
            while innocent.call():
                pass  # it processes the rest of the attack's data; the test's timeout ends this


@pytest.mark.parametrize("name", ["connections with calls, and gone", "odd paths"])
def test_calls_succeed_during_attacks_by_unauthenticated_clients(keyed: Stage, name: str) -> None:
    with keyed.channel(retries=True) as channel:
        innocent = InnocentCaller(keyed, channel)
        assert innocent.call() is None
        before = Size.of(keyed.server.pid)
        with keyed.attacked(name, SECONDS, connections=CONNECTIONS.get(name)) as attack:
            observed = innocent.call_during(attack, ENOUGH)
        assert not observed.failures
        assert observed.calls
        assert attack.tally["connected"]
        assert innocent.call() is None
    assert observed.most_resident_mebibytes < before.resident_mebibytes + MOST_MORE_MEBIBYTES
    assert observed.most_descriptors <= before.descriptors + MOST_MORE_DESCRIPTORS


def test_a_host_that_reconnects_for_each_call_is_barred(keyed: Stage) -> None:
    # A host may make a thousand such calls at once, 32 on each connection.
    with keyed.attacked("connections with calls, and gone", 4 * SECONDS) as attack:
        tally = attack.tally
    assert tally["refused"]
    assert keyed.ended_connections()


def test_idle_connections_do_not_block_new_ones(tmp_path: Path) -> None:
    most = 4 * MOST_CONNECTIONS
    with (
        stage(tmp_path, f"max_connections = {most}\n", open_to_unauthenticated=True) as running,
        running.channel() as first,
        running.attacked("patient connections", 4 * SECONDS, connections=most - 1) as attack,
    ):
        assert InnocentCaller(running, first).call() is None
        while not running.ended_connections() and not attack.is_over(within=INTERVAL):
            pass  # they are still arriving
        while not attack.is_over(within=INTERVAL):
            with running.channel() as channel:
                # A connection that arrives before there is room is closed; its client's next attempt succeeds.
                grpc.channel_ready_future(channel).result(TIMEOUT)
                assert InnocentCaller(running, channel).call() is None
        assert InnocentCaller(running, first).call() is None
        assert attack.tally["ended"]


@pytest.mark.parametrize("name", ["rapid reset", "metadata", "pings", "calls without a message"])
def test_a_client_without_a_certificate_gets_no_http2_response(attacked: Stage, name: str) -> None:
    with attacked.channel() as channel:
        innocent = InnocentCaller(attacked, channel)
        assert innocent.call() is None
        with attacked.attacked(name, SECONDS, unauthenticated=True) as attack:
            observed = innocent.call_during(attack, ENOUGH)

    assert not observed.failures
    assert attack.tally["connected"] + attack.tally["refused"]
    assert attack.tally["received"] == {}


def test_rapid_resets_are_limited_by_max_concurrent_streams(attacked: Stage, tmp_path: Path) -> None:
    with attacked.attacked("rapid reset", SECONDS) as attack:
        tally = attack.tally
    with (
        stage(tmp_path, "max_concurrent_streams = 1000000\n") as undefended,
        undefended.attacked("rapid reset", SECONDS) as attack,
    ):
        let_in = attack.tally

    # Calls over the limit are reset; without a limit, each call is accepted.
    assert tally["received"].get("resets", 0) > 100
    assert let_in["received"].get("resets", 0) == 0


@pytest.mark.parametrize("name", ["silent connections", "idle connections"])
def test_connections_are_limited(attacked: Stage, tmp_path: Path, name: str) -> None:
    more = 3 * MOST_CONNECTIONS
    assert _descriptors(attacked, name, more) <= MOST_MORE_DESCRIPTORS
    with stage(tmp_path, "max_connections = 100000\n") as undefended:
        assert _descriptors(undefended, name, more) > MOST_MORE_DESCRIPTORS


def _descriptors(on: Stage, name: str, connections: int) -> int:
    """Returns the maximum increase while a client opens connections."""
    before = Size.of(on.server.pid).descriptors
    with on.channel() as channel:
        innocent = InnocentCaller(on, channel)
        assert innocent.call() is None
        with on.attacked(name, SECONDS, connections=connections) as attack:
            observed = innocent.call_during(attack)
    assert not observed.failures
    return observed.most_descriptors - before


@pytest.mark.parametrize("name", ["silent connections", "half handshakes"])
def test_connections_that_do_not_complete_the_handshake_are_closed(attacked: Stage, tmp_path: Path, name: str) -> None:
    few = MOST_CONNECTIONS // 2
    with attacked.attacked(name, 2 * SECONDS, connections=few) as attack:
        assert attack.tally["ended"] >= few
    with (
        stage(tmp_path, "handshake_timeout_seconds = 3600\n") as undefended,
        undefended.attacked(name, 2 * SECONDS, connections=few) as attack,
    ):
        assert attack.tally["ended"] == 0


def test_a_caller_gets_no_more_calls_than_its_limit(tmp_path: Path) -> None:
    # Few, which a server on a busy machine exceeds without a limit, and the next one is allowed after 100 seconds.
    burst, rate = 2, 0.01
    for limit, exceeds in ((rate, False), (0, True)):
        directory = tmp_path / str(limit)
        directory.mkdir()
        extra = f"[limits]\ncalls_per_second = {limit}\ncalls_burst = {burst}\n"
        with stage(directory, extra=extra) as running:
            tokens = _tokens(running)
        assert tokens > 0
        assert (tokens > burst) == exceeds


def _tokens(on: Stage) -> float:
    """Returns how many tokens are issued while a caller makes sequential calls without pauses."""
    before = on.answered("OK")
    with on.attacked("too many calls", SECONDS) as attack:
        assert attack.tally["connected"]
    return on.answered("OK") - before


def test_a_connection_pauses_after_each_failed_call(tmp_path: Path) -> None:
    pause, connections = 0.2, 3
    # A pause begins at the end of a call: it does not delay those that the threads already handle.
    most = connections * (2 * SECONDS / pause + Grpc().threads)
    for seconds in (pause, 0):
        directory = tmp_path / str(seconds)
        directory.mkdir()
        with stage(directory, f"pause_after_refusal_seconds = {seconds}\n") as running:
            with running.attacked("malformed messages", SECONDS, connections=connections) as attack:
                assert attack.tally["connected"] == connections
            assert (running.answered("InvalidArgument") <= most) == bool(seconds)


def test_the_caller_with_the_most_concurrent_calls_is_refused_first(tmp_path: Path) -> None:
    with stage(tmp_path, extra="[limits]\nconcurrent_calls = 64\n") as running, running.channel() as channel:
        innocent = InnocentCaller(running, channel)
        assert innocent.call() is None  # until then its connection is like any other of its host
        with running.attacked("calls without a message", SECONDS) as attack:
            observed = innocent.call_during(attack)

        assert not observed.failures
        assert running.answered("ResourceExhausted")


def test_messages_that_are_malformed_are_never_called_an_internal_error(attacked: Stage) -> None:
    before = attacked.answered("Internal"), attacked.answered("Unknown")
    with attacked.attacked("malformed messages", SECONDS) as attack:
        assert attack.tally["received"]["headers"]

    assert (attacked.answered("Internal"), attacked.answered("Unknown")) == before


def test_the_duration_of_an_attack_starts_at_its_first_connection() -> None:
    # Otherwise one that starts late on a busy machine would end before it starts.
    with socket.create_server(("127.0.0.1", 0)) as target:
        attack = run(Flood(lambda: iter(()), connections=1), f"127.0.0.1:{target.getsockname()[1]}", seconds=0.0)
        assert asyncio.run(attack).connected == 1


def test_an_attack_ends_early_when_its_enough_event_is_set() -> None:
    async def attack(address: str) -> Tally:
        enough = asyncio.Event()
        return await run(Flood(lambda: iter(()), connections=1), address, 3600.0, begun=enough.set, enough=enough)

    with socket.create_server(("127.0.0.1", 0)) as target:
        assert asyncio.run(attack(f"127.0.0.1:{target.getsockname()[1]}")).connected == 1
