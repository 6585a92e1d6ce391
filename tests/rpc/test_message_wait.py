"""Calls without messages: they do not block other calls, and they end."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import grpc
import pytest
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import METHODS, TIMEOUT, VALID, GrpcService, failure, grpc_service
from tests.support.silent_calls import SilentCalls

from tokend_server.clock import SystemClock
from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.rpc.ended import CallEnded
from tokend_server.rpc.message_wait import MessageWait
from tokend_server.rpc.server import SERVICE_NAME

if TYPE_CHECKING:
    from google.protobuf.message import Message

#: Seconds of a stopped clock that the test moves; in real seconds, the wait never checks by itself.
INTERVAL = 1000.0
MESSAGE_TIMEOUT = 5000.0


class FakeContext:
    """The parts of a call that the wait uses."""

    def __init__(self, connection: str = "ipv4:127.0.0.1:1") -> None:
        self.connection = connection
        self.cancelled = threading.Event()
        self.ended = threading.Event()
        self._callbacks: list[Callable[[], None]] = []

    def cancel(self) -> None:
        self.cancelled.set()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if self.ended.is_set():
            return False
        self._callbacks.append(callback)
        return True

    def peer(self) -> str:
        return self.connection

    def end(self) -> None:
        """Ends the call like gRPC."""
        self.ended.set()
        for callback in self._callbacks:
            callback()


class Silent:
    """The messages of a call: one that arrives when a test sends it, or never."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.come = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.asked.set()
        assert self.come.wait(TIMEOUT)
        return b"message"


class Waiting:
    """A wait that checks when the test calls it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.replaced: list[int] = []
        self.spare = 10
        self.wait = MessageWait(MESSAGE_TIMEOUT, self.clock, interval=INTERVAL)

    def replace(self, idle: int) -> None:
        self.replaced.append(idle)

    def receive(self, messages: Iterator[bytes], context: FakeContext) -> bytes:
        """Waits for the message of a call, and returns it."""
        received = self.wait.receiving(lambda message, _context: message, self)
        return cast("bytes", received(messages, context))

    def check_after(self, seconds: float) -> list[int]:
        """Checks, and returns the reports about waiting threads since the last time."""
        self.clock.advance(seconds)
        self.wait.check()
        replaced = self.replaced[:]
        self.replaced.clear()
        return replaced

    @contextmanager
    def calls(self, count: int, connection: str = "ipv4:127.0.0.1:1") -> Iterator[list[tuple[FakeContext, Silent]]]:
        """Calls that wait for their messages, until the block ends."""
        calls = [(FakeContext(connection), Silent()) for _ in range(count)]
        with ThreadPoolExecutor(count) as threads:
            for context, messages in calls:
                threads.submit(self.receive, messages, context)
            try:
                for _, messages in calls:
                    assert messages.asked.wait(TIMEOUT)
                yield calls
            finally:
                for _, messages in calls:
                    messages.come.set()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    made = Waiting()
    yield made
    made.wait.stop()


def test_a_thread_that_waits_for_an_interval_is_replaced_while_it_waits(waiting: Waiting) -> None:
    with waiting.calls(2):
        assert waiting.check_after(INTERVAL - 1) == []
        with waiting.calls(1):
            assert waiting.check_after(1) == [2]
            assert waiting.check_after(1) == []  # nothing new to report
            assert waiting.check_after(INTERVAL) == [3]
        assert waiting.check_after(0) == [2]
    assert waiting.check_after(0) == [0]


def test_a_call_is_cancelled_after_the_timeout_and_not_before(waiting: Waiting) -> None:
    with waiting.calls(1) as ((first, _),):
        waiting.check_after(1)
        with waiting.calls(1) as ((second, _),):
            waiting.check_after(MESSAGE_TIMEOUT - 2)
            assert not first.cancelled.is_set()
            waiting.check_after(1)
            assert first.cancelled.is_set()
            assert not second.cancelled.is_set()


def test_a_call_whose_message_came_is_not_cancelled_however_long_it_takes(waiting: Waiting) -> None:
    context, release = FakeContext(), threading.Event()
    received = threading.Event()

    def work(message: bytes, _context: grpc.ServicerContext) -> bytes:
        received.set()
        assert release.wait(TIMEOUT)
        return message

    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(waiting.wait.receiving(work, waiting), iter([b"message"]), context)
        assert received.wait(TIMEOUT)
        assert waiting.check_after(2 * MESSAGE_TIMEOUT) == []
        release.set()
        assert answer.result(TIMEOUT) == b"message"
    assert not context.cancelled.is_set()


def test_a_call_without_a_message_is_refused(waiting: Waiting) -> None:
    with pytest.raises(ValidationFailed) as refused:
        waiting.receive(iter([]), FakeContext())
    assert refused.value.violations == (FieldViolation("", "Request must be one message"),)


class Ending:
    """The messages of a cancelled call: there are none, and then gRPC reports why."""

    def __init__(self, context: FakeContext) -> None:
        self._context = context

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._context.ended.is_set():
            raise grpc.RpcError
        threading.Thread(target=self._context.end).start()
        raise StopIteration


def test_a_cancelled_call_is_not_reported_as_one_without_a_message(waiting: Waiting) -> None:
    context = FakeContext()
    with pytest.raises(CallEnded):
        waiting.receive(Ending(context), context)


def test_without_spare_threads_the_oldest_calls_of_the_busiest_connections_end(waiting: Waiting) -> None:
    waiting.spare = 3
    with waiting.calls(1, "few") as few, waiting.calls(1, "many") as oldest:
        waiting.check_after(1)
        with waiting.calls(2, "many") as newer:
            assert waiting.check_after(INTERVAL - 1) == [2]
            assert waiting.check_after(1) == [4]
            cancelled = [context.cancelled.is_set() for context, _ in (*few, *oldest, *newer)]
            assert cancelled == [False, True, False, False]


def test_the_message_timeout_applies_to_each_message_of_a_stream(waiting: Waiting) -> None:
    context, silent = FakeContext(), Silent()

    def messages() -> Iterator[bytes]:
        yield b"first"
        yield next(silent)
        raise grpc.RpcError

    receive = waiting.wait.receiving_each(lambda messages, _context: messages, waiting)
    received = receive(messages(), context)
    assert next(received) == b"first"
    assert waiting.check_after(MESSAGE_TIMEOUT) == []
    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(next, received)
        assert silent.asked.wait(TIMEOUT)
        assert waiting.check_after(MESSAGE_TIMEOUT) == [1]
        assert context.cancelled.is_set()
        silent.come.set()
        assert second.result(TIMEOUT) == b"message"
    assert next(received, None) is None


class Checked(threading.Event):
    """Threads; the event is set when one waits."""

    spare = 1

    def replace(self, _idle: int) -> None:
        self.set()


def test_expired_waits_are_ended_periodically() -> None:
    checked = Checked()
    wait = MessageWait(TIMEOUT, SystemClock(), interval=0.01)
    messages = Silent()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(wait.receiving(lambda message, _context: message, checked), messages, FakeContext())
        assert checked.wait(TIMEOUT)
        messages.come.set()
    wait.stop()


def extra_threads(service: GrpcService) -> int:
    return service.server._threads.calls._extra  # noqa: SLF001 - nothing else tells


def test_calls_without_messages_do_not_block_others() -> None:
    silent, innocent = 24, 10
    with (
        grpc_service(threads=4, message_timeout_seconds=3600) as service,
        SilentCalls(service.address, "LookupDeveloperIdentity") as calls,
    ):
        calls.begin(silent)
        for _ in range(innocent):
            service.call("LookupDeveloperIdentity")
        assert len(service.engine.asked) == innocent
        assert extra_threads(service) > 0
        assert service.outcomes() == {"OK": innocent}


@pytest.mark.parametrize("method", METHODS)
def test_silent_calls_end_and_their_threads_with_them(method: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    silent = 12
    with (
        grpc_service(threads=4, message_timeout_seconds=0.3) as service,
        SilentCalls(service.address, method) as calls,
    ):
        streams = calls.begin(silent)
        assert {calls.next_ended() for _ in range(silent)} == set(streams)
        assert service.until_over(silent) == {"Canceled": silent}
        while extra_threads(service):
            threading.Event().wait(0.01)
        service.call(method)
        assert len(service.engine.asked) == 1
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("method", METHODS)
def test_a_caller_that_is_not_identified_is_refused_before_its_message(method: str) -> None:
    row = {"callers": ["key:checkout"], "pools": ["*"], "operations": ["*"]}
    sections = {"callers": {"keys": {"checkout": [f"sha256:{64 * '0'}"]}}, "policy": {"any": row}}
    over = threading.Event()

    def no_message() -> Iterator[bytes]:
        over.wait()
        yield from ()

    with grpc_service(None, sections, identify_by=["bearer_key"], message_timeout_seconds=3600) as service:
        path = f"/{SERVICE_NAME}/{method}"
        call: grpc.StreamUnaryMultiCallable[bytes, bytes] = service.channel.stream_unary(path, None, None)
        seen = failure(lambda: call(no_message(), timeout=TIMEOUT))
        over.set()
    assert seen.code is grpc.StatusCode.UNAUTHENTICATED


def test_a_silent_caller_sees_that_its_call_was_cancelled() -> None:
    over = threading.Event()

    def silence() -> Iterator[bytes]:
        over.wait(TIMEOUT)
        yield from ()

    with grpc_service(message_timeout_seconds=0.1) as service:
        path = f"/{SERVICE_NAME}/LookupDeveloperIdentity"
        send: Callable[..., Message] = service.channel.stream_unary(path, None, None)
        assert failure(lambda: send(silence(), timeout=TIMEOUT)).code is grpc.StatusCode.CANCELLED
        over.set()


def test_a_message_that_comes_late_is_answered(service: GrpcService) -> None:
    with SilentCalls(service.address, "LookupDeveloperIdentity") as calls:
        (stream,) = calls.begin()
        service.call("LookupDeveloperIdentity")
        calls.send(stream, VALID["LookupDeveloperIdentity"].SerializeToString())
        assert calls.next_ended() == stream
        assert service.until_over(2) == {"OK": 2}


@pytest.mark.parametrize("taken_back", [True, False])
def test_a_call_cancelled_while_it_waits_counts_as_cancelled(
    service: GrpcService, caplog: pytest.LogCaptureFixture, *, taken_back: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    count = 30
    with SilentCalls(service.address, "LookupDeveloperIdentity") as calls:
        streams = calls.begin(count)
        service.call("LookupDeveloperIdentity")
        for stream in streams if taken_back else ():
            calls.cancel(stream)
        calls.close()
        assert service.until_over(count + 1) == {"OK": 1, "Canceled": count}
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("method", METHODS)
def test_a_call_without_a_message_fails_validation(method: str, service: GrpcService) -> None:
    send: Callable[..., Message] = service.channel.stream_unary(f"/{SERVICE_NAME}/{method}", None, None)
    seen = failure(lambda: send(iter([]), timeout=TIMEOUT))
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert seen.violations == [("", "Request must be one message")]
    assert service.engine.asked == []


@pytest.mark.parametrize("method", METHODS)
def test_the_first_of_several_messages_is_answered(method: str, service: GrpcService) -> None:
    send: Callable[..., bytes] = service.channel.stream_unary(f"/{SERVICE_NAME}/{method}", None, None)
    serialized = VALID[method].SerializeToString()
    assert isinstance(send(iter([serialized, b"\xff\xff", serialized]), timeout=TIMEOUT), bytes)
    assert len(service.engine.asked) == 1
