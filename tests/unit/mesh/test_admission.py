"""The admission of callers to the SDS listeners while others wait."""

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock

from tokend_server.access.build import build_access_control
from tokend_server.config import Config, Listener
from tokend_server.errors import TooManyRequests
from tokend_server.mesh.admission import CallAdmission
from tokend_server.mesh.stream_calls import StreamContext
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.metrics import Metrics
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.call import Call
from tokend_server.rpc.connection_guard import ConnectionGuard
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.policy import Rule

NEEDS_NAME, NEEDS_NOTHING = Method("s", "Stream", "bidi_stream"), Method("h", "Check", "unary")
RULES = {NEEDS_NAME: Rule.IDENTITY, NEEDS_NOTHING: Rule.NOTHING}


class Guard(ConnectionGuard):
    """A guard that records which calls were abandoned."""

    def __init__(self) -> None:
        super().__init__(8192, lambda: None, FakeClock())
        self.given_up: list[str] = []

    def record_abandoned(self, peer: str, line: str) -> bool:
        self.given_up.append(peer)
        return super().record_abandoned(peer, line)


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
def admission(guard: Guard) -> CallAdmission:
    """An admission with places for two calls, whose work never completes."""
    metrics, clock = Metrics(CollectorRegistry()), FakeClock()
    access = build_access_control(Config(), metrics, clock)
    listener = Listener(address="127.0.0.1:0")

    async def never(_work: Callable[[], Call]) -> Call:
        await asyncio.Event().wait()
        raise AssertionError

    return CallAdmission(listener, RULES, access, None, guard, StreamPlaces(2, 2, lambda: None), never, 8192, clock)


def context(peer: str) -> StreamContext:
    return StreamContext(peer, (), {})


async def waiting(admission: CallAdmission, peer: str) -> "asyncio.Task[Call]":
    """A call that has advanced as far as possible."""
    task = asyncio.create_task(admission.identify_caller(NEEDS_NAME, context(peer)))
    await asyncio.sleep(0)
    return task


def test_callers_without_identification_do_not_wait_for_others(admission: CallAdmission) -> None:
    async def scenario() -> Call:
        blocked = [await waiting(admission, "ipv4:10.0.0.1:1") for _ in range(2)]
        call = await admission.identify_caller(NEEDS_NOTHING, context("ipv4:10.0.0.1:1"))
        for each in blocked:
            each.cancel()
        return call

    assert asyncio.run(scenario()).caller == ANONYMOUS


def test_a_caller_being_identified_does_not_block_others(admission: CallAdmission) -> None:
    async def scenario() -> None:
        blocked = [await waiting(admission, "ipv4:10.0.0.1:1") for _ in range(2)]
        with pytest.raises(TooManyRequests):
            await admission.identify_caller(NEEDS_NAME, context("ipv4:10.0.0.1:1"))
        other = await waiting(admission, "ipv4:10.0.0.2:1")
        assert not other.done()
        for each in (*blocked, other):
            each.cancel()

    asyncio.run(scenario())


def test_the_guard_is_notified_of_cancelled_calls(admission: CallAdmission, guard: Guard) -> None:
    async def scenario() -> None:
        blocked = await waiting(admission, "ipv4:10.0.0.1:1")
        blocked.cancel()
        await asyncio.wait([blocked])

    asyncio.run(scenario())
    assert guard.given_up == ["ipv4:10.0.0.1:1"]
