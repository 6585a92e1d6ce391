"""The queues of connections: turns, shares, and pauses."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import grpc
import pytest
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import TIMEOUT, GrpcService, failure, grpc_service, insecure_channel
from tests.support.health import watch_health

from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.model import UnlinkRequest
from tokend_server.rpc.fair_queue import FairQueue

LOOKUP = "LookupDeveloperIdentity"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> Iterator[FairQueue[str]]:
    queue: FairQueue[str] = FairQueue(6, clock)
    yield queue
    queue.close()


def offer(queue: FairQueue[str], *tasks: str) -> list[bool]:
    """Offers tasks, each in the queue of its first letter."""
    return [queue.offer(task, task[0]) for task in tasks]


def take(queue: FairQueue[str], count: int) -> list[str | None]:
    return [queue.take() for _ in range(count)]


def test_lines_take_turns(queue: FairQueue[str]) -> None:
    offer(queue, "a1", "a2", "a3", "b1", "c1", "b2")
    assert take(queue, 6) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_one_line_keeps_its_order(queue: FairQueue[str]) -> None:
    offer(queue, "a1", "a2", "a3")
    assert take(queue, 3) == ["a1", "a2", "a3"]


def test_a_full_queue_accepts_only_lines_below_their_share(queue: FairQueue[str]) -> None:
    assert offer(queue, "a1", "a2", "a3", "a4", "a5", "a6", "a7") == [True] * 6 + [False]
    # A new queue has less than its share, three of six, until it has three.
    assert offer(queue, "b1", "b2", "b3", "b4", "a7") == [True, True, True, False, False]


def test_a_new_caller_has_a_share_regardless_of_the_number_of_others(queue: FairQueue[str]) -> None:
    assert offer(queue, *"abcdefgh") == [True] * 8
    assert offer(queue, "i1", "i2", "a2") == [True, False, False]


def test_running_tasks_count_until_they_end(queue: FairQueue[str]) -> None:
    offer(queue, "a1", "a2", "a3", "a4", "a5", "a6")
    take(queue, 2)
    assert offer(queue, "a7") == [False]
    queue.end("a")
    assert offer(queue, "a7", "a8") == [True, False]


def test_running_tasks_can_be_moved_to_another_line(queue: FairQueue[str]) -> None:
    offer(queue, "a1", "a2", "a3", "a4", "a5", "a6")
    take(queue, 6)
    for _ in range(5):
        queue.move("a", "b")
    assert offer(queue, "b7", "a7", "a8", "a9") == [False, True, True, False]
    queue.end("b")
    queue.end("a")


def test_a_taker_ends_after_it_has_taken_all_waiting_tasks(queue: FairQueue[str]) -> None:
    offer(queue, "a1")
    queue.end_taker()
    assert take(queue, 2) == ["a1", None]


def test_other_lines_proceed_while_one_is_paused(queue: FairQueue[str], clock: FakeClock) -> None:
    offer(queue, "a1", "a2", "b1")
    assert take(queue, 1) == ["a1"]
    queue.pause("a", 0.5)
    offer(queue, "a3", "b2")
    assert take(queue, 2) == ["b1", "b2"]
    clock.advance(0.5)
    queue.wake()
    assert take(queue, 2) == ["a2", "a3"]


def test_a_taker_waits_for_the_end_of_a_pause(queue: FairQueue[str], clock: FakeClock) -> None:
    offer(queue, "a1", "a2")
    take(queue, 1)
    queue.pause("a", 0.5)
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(queue.take()))
    taker.start()
    queue.wake()
    assert taken == []
    clock.advance(0.5)
    queue.wake()
    taker.join(TIMEOUT)
    assert taken == ["a2"]


def test_a_task_withdrawn_during_a_pause_does_not_delay_others(queue: FairQueue[str]) -> None:
    offer(queue, "a1", "a2")
    take(queue, 1)
    queue.pause("a", 0.5)
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(queue.take()))
    taker.start()
    while queue._tickets.qsize():  # noqa: SLF001 - nothing else tells it
        pass  # the consumer has found that all lines are paused
    with queue._lock:  # noqa: SLF001 - as above
        pass
    queue.withdraw("a2", "a")
    offer(queue, "b1")
    taker.join(TIMEOUT)
    assert taken == ["b1"]


def test_pauses_add_up_to_a_second_at_most(queue: FairQueue[str], clock: FakeClock) -> None:
    offer(queue, "a1", "a2", "b1")
    take(queue, 1)
    for _ in range(50):
        queue.pause("a", 0.3)
    clock.advance(0.9)
    queue.wake()
    assert take(queue, 1) == ["b1"]
    clock.advance(0.1)
    queue.wake()
    assert take(queue, 1) == ["a2"]


def test_a_pause_outlives_the_tasks_of_its_line(queue: FairQueue[str], clock: FakeClock) -> None:
    offer(queue, "a1")
    take(queue, 1)
    queue.pause("a", 0.5)
    queue.end("a")
    offer(queue, "a2", "b1")
    assert take(queue, 1) == ["b1"]
    clock.advance(0.5)
    queue.wake()
    assert take(queue, 1) == ["a2"]


def test_a_pause_of_zero_does_not_delay_the_line(queue: FairQueue[str]) -> None:
    offer(queue, "a1", "a2")
    take(queue, 1)
    queue.pause("a", 0.0)
    offer(queue, "b1")
    assert take(queue, 2) == ["a2", "b1"]


def test_a_line_without_tasks_is_not_paused(queue: FairQueue[str]) -> None:
    queue.pause("a", 0.5)
    offer(queue, "a1")
    assert take(queue, 1) == ["a1"]


def test_a_closed_queue_ignores_pauses(clock: FakeClock) -> None:
    queue: FairQueue[str] = FairQueue(6, clock)
    offer(queue, "a1", "a2")
    take(queue, 1)
    queue.pause("a", 1.0)
    queue.close()
    assert take(queue, 1) == ["a2"]


@pytest.mark.usefixtures("no_spare_threads")
def test_the_calls_of_two_connections_take_turns() -> None:
    # This also detects a release of gRPC whose calls WorkerPool no longer recognizes.
    with (
        grpc_service(threads=1) as service,
        insecure_channel(service.address) as other,
        service.engine.holding() as hold,
    ):
        begun = [service.begin(LOOKUP)]
        assert hold.entered.wait(TIMEOUT)
        begun += [service.begin(LOOKUP) for _ in range(10)]
        late = replace(service, stub=DeveloperIdentityServiceStub(other)).begin("UnlinkDeveloperIdentity")
        for channel in (service.channel, other):
            next(watch_health(channel))  # what was sent before it has arrived
        hold.release.set()
        for each in [*begun, late]:
            each.result(TIMEOUT)
        assert [type(request) for request in service.engine.requests].index(UnlinkRequest) <= 2


REFUSED_CALLS: Mapping[str, tuple[Callable[[GrpcService], object], grpc.StatusCode]] = MappingProxyType(
    {
        "malformed": (lambda service: service.send_bytes(LOOKUP, b"\xff"), grpc.StatusCode.INVALID_ARGUMENT),
        "no such method": (lambda service: service.send_to("/no/Such"), grpc.StatusCode.UNIMPLEMENTED),
    }
)


@pytest.mark.parametrize(("call", "code"), REFUSED_CALLS.values(), ids=REFUSED_CALLS)
def test_a_connection_pauses_after_a_refused_call(call: Callable[[GrpcService], object], code: grpc.StatusCode) -> None:
    clock = FakeClock()
    with grpc_service(clock, pause_after_refusal_seconds=0.5) as service:
        assert failure(lambda: call(service)).code is code
        blocked = service.begin(LOOKUP)
        with insecure_channel(service.address) as other:
            replace(service, stub=DeveloperIdentityServiceStub(other)).call(LOOKUP)
        assert not blocked.done()
        clock.advance(0.5)
        blocked.result(TIMEOUT)
