"""Callers that wait for a refresh, and queued refreshes."""

import asyncio
import time
from concurrent.futures import CancelledError
from dataclasses import replace

import grpc
import pytest
from tests.clients.python.asking import LIFE, failure, warm
from tests.clients.python.facades import TIMEOUT, AsyncFacade, Facade, patient
from tests.fakes.clock import FakeClock

from tokend_client import AsyncTokenSource, ErrorReason, Token, TokenRequest
from tokend_client.testing import Failure, FakeTokendServer


@pytest.mark.parametrize("age", [None, LIFE - 60, LIFE + 1000])
def test_without_a_token_that_can_be_used_all_wait_for_one_refresh(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, age: float | None
) -> None:
    if age is not None:
        warm(facade, alice, clock, age)
    calls = len(server.requests)
    server.pause()
    futures = [facade.begin(alice) for _ in range(64)]
    server.wait_for_calls(calls + 1)
    assert not any(future.done() for future in futures)
    server.resume()
    tokens = {future.result(TIMEOUT).value for future in futures}
    assert tokens == {facade.ask(alice).value}
    assert len(server.requests) == calls + 1


def test_a_caller_that_stops_waiting_does_not_affect_the_others(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    impatient, patient = facade.begin(alice, timeout=0.05), facade.begin(alice)
    assert failure(impatient).code is grpc.StatusCode.DEADLINE_EXCEEDED
    server.resume()
    assert patient.result(TIMEOUT).value == facade.ask(alice).value
    assert len(server.requests) == 1


def test_a_cancelled_future_does_not_affect_the_others(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    source = facade.source(alice)
    cancelled, other = source.token_future(), source.token_future()
    server.wait_for_calls(1)
    assert cancelled.cancel()
    server.resume()
    assert other.result(TIMEOUT).identity_id
    assert len(server.requests) == 1
    with pytest.raises(CancelledError):
        cancelled.result(TIMEOUT)


def test_a_cancelled_task_does_not_affect_the_others(
    server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    async def scenario(source: AsyncTokenSource) -> Token:
        starter, other = asyncio.create_task(source.token()), asyncio.create_task(source.token())
        await asyncio.to_thread(server.wait_for_calls, 1)
        starter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starter
        server.resume()
        return await other

    server.pause()
    with AsyncFacade(server.endpoint, patient(clock=clock)) as facade:
        assert facade.run(scenario(facade.source(alice))) is facade.ask(alice)
    assert len(server.requests) == 1


def test_all_waiting_callers_get_the_failure(facade: Facade, server: FakeTokendServer, alice: TokenRequest) -> None:
    server.fail(Failure(ErrorReason.INVALID_PARAMETER))
    server.pause()
    futures = [facade.begin(alice) for _ in range(8)]
    server.wait_for_calls(1)
    server.resume()
    errors = [failure(future) for future in futures]
    assert {error.reason for error in errors} == {ErrorReason.INVALID_PARAMETER}
    assert len(set(map(id, errors))) == 8
    assert len(server.requests) == 1


def test_at_most_32_refreshes_run_and_the_others_wait_in_order(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    names = [str(number) for number in range(100)]
    sources = [facade.source(replace(alice, logins={server.developer_provider_name: name})) for name in names]
    futures = [source.token_future() for source in sources]
    server.wait_for_calls(32)
    facade.ask_briefly(alice)
    assert len(server.requests) == 32
    server.resume()
    assert len({future.result(TIMEOUT).identity_id for future in futures}) == 100
    assert facade.calls.most_at_once <= 32
    facade.ask(alice)
    sent = [request.logins[server.developer_provider_name] for request in server.requests]  # type: ignore[attr-defined]
    assert set(sent[:32]) == set(names[:32])
    assert sent.index("alice") >= 70


def test_a_source_that_is_closed_while_its_refresh_is_queued_makes_no_call(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    users = [replace(alice, logins={server.developer_provider_name: str(number)}) for number in range(40)]
    futures = [facade.source(user).token_future() for user in users]
    server.wait_for_calls(32)
    for user in users[32:39]:
        facade.close_source(user)
    server.resume()
    assert [future.exception(TIMEOUT) is None for future in futures] == [True] * 32 + [False] * 7 + [True]
    assert len(server.requests) == 33


@pytest.mark.parametrize("timeout", [0.3])
def test_a_callers_timeout_applies_while_its_refresh_is_queued(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest, timeout: float
) -> None:
    server.pause()
    users = [replace(alice, logins={server.developer_provider_name: str(number)}) for number in range(33)]
    for user in users[:32]:
        facade.source(user).token_future()
    server.wait_for_calls(32)
    begun = time.monotonic()
    assert failure(facade.begin(users[32], timeout=timeout)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun < 1
    assert len(server.requests) == 32
