"""The caching policy of clients/README.md, by both clients, over real gRPC and on a clock that only moves when told."""

import asyncio
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from tests.clients.python.conftest import Draws
from tests.clients.python.facades import PATIENCE, AsyncFacade, Facade
from tests.fakes.clock import FakeClock

from tokend_client import AsyncTokenSource, CachingPolicy, Closed, ErrorReason, Token, TokendError, TokenRequest
from tokend_client.testing import Failure, FakeTokendServer

LIFE = 900
UNTIL_REFRESH = 300


def warm(facade: Facade, request: TokenRequest, clock: FakeClock, seconds: float) -> Token:
    """A token that is then so many seconds old."""
    token = facade.ask(request)
    clock.advance(seconds)
    return token


def failure(future: "Future[Token]") -> TokendError:
    with pytest.raises(TokendError) as caught:
        future.result(PATIENCE)
    return caught.value


def refused(facade: Facade, request: TokenRequest) -> TokendError:
    return failure(facade.begin(request))


def test_a_fresh_token_is_the_same_snapshot_and_costs_no_call(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    first = warm(facade, alice, clock, UNTIL_REFRESH - 1)
    assert [facade.ask(alice) is first for _ in range(3)] == [True] * 3
    assert len(server.requests) == 1


def test_a_refresh_is_brought_forward_by_what_is_drawn(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, draws: Draws
) -> None:
    draws.next = 0.5
    warm(facade, alice, clock, 284.99)
    for calls in (1, 2):
        facade.ask(alice)
        facade.wait_for_refresh(alice)
        assert len(server.requests) == calls
        clock.advance(0.02)


def test_a_stale_token_is_given_at_once_while_one_refresh_runs(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    old = warm(facade, alice, clock, UNTIL_REFRESH)
    server.pause()
    assert [future.result(PATIENCE) for future in [facade.begin(alice) for _ in range(64)]] == [old] * 64
    server.wait_for_calls(2)
    server.resume()
    facade.wait_for_refresh(alice)
    new = facade.ask(alice)
    assert new.value != old.value
    assert len(server.requests) == 2


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
    tokens = {future.result(PATIENCE).value for future in futures}
    assert tokens == {facade.ask(alice).value}
    assert len(server.requests) == calls + 1


def test_a_stale_token_is_given_until_the_skew_before_its_end(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    old = warm(facade, alice, clock, LIFE - 60.01)
    server.pause()
    assert facade.ask(alice) is old
    clock.advance(0.02)
    waiting = facade.begin(alice)
    server.wait_for_calls(2)
    assert not waiting.done()
    server.resume()
    assert waiting.result(PATIENCE) is not old


def test_who_stops_waiting_takes_nothing_from_the_others(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    impatient, patient = facade.begin(alice, timeout=0.05), facade.begin(alice)
    assert failure(impatient).code is grpc.StatusCode.DEADLINE_EXCEEDED
    server.resume()
    assert patient.result(PATIENCE).value == facade.ask(alice).value
    assert len(server.requests) == 1


def test_a_cancelled_future_takes_nothing_from_the_others(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    source = facade.source(alice)
    cancelled, other = source.token_future(), source.token_future()
    server.wait_for_calls(1)
    assert cancelled.cancel()
    server.resume()
    assert other.result(PATIENCE).identity_id
    assert len(server.requests) == 1
    with pytest.raises(CancelledError):
        cancelled.result(PATIENCE)


def test_a_cancelled_task_takes_nothing_from_the_others(
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
    with AsyncFacade(server.endpoint, CachingPolicy(clock=clock)) as facade:
        assert facade.run(scenario(facade.source(alice))) is facade.ask(alice)
    assert len(server.requests) == 1


def test_a_failed_refresh_keeps_the_token_and_backs_off(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, draws: Draws
) -> None:
    old = warm(facade, alice, clock, UNTIL_REFRESH)
    server.fail(Failure(ErrorReason.INTERNAL))
    # Each from the upper half of 1, 2, 4, 8 s.
    for calls, (draw, delay) in enumerate([(0.0, 0.5), (0.5, 1.5), (0.0, 2.0), (0.999, 7.996)], 2):
        draws.next = draw
        assert facade.ask(alice) is old
        facade.wait_for_refresh(alice)
        clock.advance(delay - 0.01)
        assert facade.ask(alice) is old
        facade.wait_for_refresh(alice)
        assert len(server.requests) == calls
        clock.advance(0.02)
    server.recover()
    facade.ask(alice)
    facade.wait_for_refresh(alice)
    assert facade.ask(alice) is not old


def test_a_success_ends_the_back_off(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    for _ in range(3):
        refused(facade, alice)
        clock.advance(60)
    server.recover()
    warm(facade, alice, clock, LIFE)
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    refused(facade, alice)
    clock.advance(0.5)
    server.recover()
    assert facade.ask(alice)


def test_the_servers_retry_delay_counts(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    server.fail(Failure(ErrorReason.TOO_MANY_REQUESTS, retry_delay=timedelta(seconds=7.5)))
    error = refused(facade, alice)
    assert (error.reason, error.retry_delay) == (ErrorReason.TOO_MANY_REQUESTS, timedelta(seconds=7.5))
    server.recover()
    clock.advance(7.49)
    again = refused(facade, alice)
    assert again is not error
    assert (again.reason, again.text) == (error.reason, error.text)
    assert len(server.requests) == 1
    clock.advance(0.01)
    assert facade.ask(alice)


def test_all_who_wait_get_the_failure(facade: Facade, server: FakeTokendServer, alice: TokenRequest) -> None:
    server.fail(Failure(ErrorReason.INVALID_PARAMETER))
    server.pause()
    futures = [facade.begin(alice) for _ in range(8)]
    server.wait_for_calls(1)
    server.resume()
    errors = [failure(future) for future in futures]
    assert {error.reason for error in errors} == {ErrorReason.INVALID_PARAMETER}
    assert len(set(map(id, errors))) == 8
    assert len(server.requests) == 1


def test_an_outage_is_invisible_for_as_long_as_the_token_can_be_used(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    old = warm(facade, alice, clock, UNTIL_REFRESH)
    server.stop()
    for _ in range(3):
        assert facade.ask(alice) is old
        facade.wait_for_refresh(alice)
        clock.advance(100)
    clock.advance(LIFE)
    assert refused(facade, alice).code is grpc.StatusCode.UNAVAILABLE
    server.start()
    facade.wait_until_connected()
    clock.advance(60)
    assert facade.ask(alice).value != old.value


def test_a_clock_that_is_set_back_makes_no_token_younger(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = facade.ask(alice)
    monkeypatch.setattr(clock, "_monotonic", clock.monotonic() + LIFE)
    assert facade.ask(alice) is not old
    monkeypatch.setattr(clock, "_now", clock.now() + LIFE)
    assert facade.ask(alice) is not old
    assert len(server.requests) == 3


def test_what_a_refresh_brings_is_handed_out_even_if_it_is_expired_by_this_clock(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    ahead = FakeClock(now=clock.now() + 10 * LIFE)
    with facade_type(server.endpoint, CachingPolicy(clock=ahead)) as facade:
        assert facade.ask(alice) is facade.ask(alice)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("wrong_by", "side"), [(61, "ahead of"), (-3600, "behind"), (60, None)])
def test_a_client_warns_once_of_a_clock_that_is_a_minute_wrong(  # noqa: PLR0913, PLR0917 - fixtures
    facade_type: type[Facade],
    server: FakeTokendServer,
    clock: FakeClock,
    alice: TokenRequest,
    caplog: pytest.LogCaptureFixture,
    wrong_by: float,
    side: str | None,
) -> None:
    wrong = FakeClock(now=clock.now() + wrong_by)
    with facade_type(server.endpoint, CachingPolicy(clock=wrong)) as facade:
        for name in ("a", "b"):
            facade.ask(replace(alice, logins={server.developer_provider_name: name}))
    warnings = [record.getMessage() for record in caplog.records if record.name == "tokend_client"]
    assert len(warnings) == (side is not None)
    assert all(f"{abs(wrong_by)} s {side} " in warning for warning in warnings)


def test_a_rejected_token_is_dropped_from_the_source_that_holds_it(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    bob = replace(alice, logins={server.developer_provider_name: "bob"})
    first, other = facade.ask(alice), facade.ask(bob)
    facade.cache.invalidate("another")
    assert facade.ask(alice) is first
    facade.cache.invalidate(first.value)
    assert facade.source(alice).snapshot is None
    second = facade.ask(alice)
    facade.source(alice).invalidate(first.value)
    assert (facade.ask(alice), facade.ask(bob)) == (second, other)
    assert second.value != first.value
    assert len(server.requests) == 3


def test_so_many_refreshes_are_under_way_and_the_others_come_in_their_order(
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
    assert len({future.result(PATIENCE).identity_id for future in futures}) == 100
    assert facade.calls.most_at_once <= 32
    facade.ask(alice)
    sent = [request.logins[server.developer_provider_name] for request in server.requests]  # type: ignore[attr-defined]
    assert set(sent[:32]) == set(names[:32])
    assert sent.index("alice") >= 70


def test_a_source_that_is_closed_while_it_waits_for_its_turn_takes_none(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    users = [replace(alice, logins={server.developer_provider_name: str(number)}) for number in range(40)]
    futures = [facade.source(user).token_future() for user in users]
    server.wait_for_calls(32)
    for user in users[32:39]:
        facade.close_source(user)
    server.resume()
    assert [future.exception(PATIENCE) is None for future in futures] == [True] * 32 + [False] * 7 + [True]
    assert len(server.requests) == 33


@pytest.mark.parametrize("timeout", [0.3])
def test_a_callers_own_time_counts_while_a_refresh_waits_for_its_turn(
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


def test_a_cache_has_room_for_one_at_least(facade_type: type[Facade], server: FakeTokendServer) -> None:
    for size in (0, -1):
        with pytest.raises(ValueError, match="max_users"):
            facade_type(server.endpoint, max_users=size)


def test_a_user_without_a_token_makes_room_first(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    users = [replace(alice, logins={server.developer_provider_name: str(number)}) for number in range(5)]
    with facade_type(server.endpoint, CachingPolicy(clock=clock), max_users=3) as facade:
        first, second = facade.ask(users[0]), facade.ask(users[1])
        server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
        for user in users[2:]:
            refused(facade, user)
        assert len(facade.cache) == 3
        assert (facade.ask(users[0]), facade.ask(users[1])) == (first, second)
        server.recover()
        facade.ask(users[2])
        facade.ask(users[3])
        assert facade.ask(users[1]) is second
        assert facade.ask(users[0]) is not first


def test_closing_wakes_those_who_wait(facade: Facade, server: FakeTokendServer, alice: TokenRequest) -> None:
    server.pause()
    waiting = [facade.begin(alice) for _ in range(3)]
    source = facade.source(alice)
    server.wait_for_calls(1)
    facade.close_cache()
    assert {type(failure(future)) for future in waiting} == {Closed}
    assert isinstance(failure(source.token_future()), Closed)
    assert isinstance(refused(facade, alice), Closed)
    facade.close_cache()


def test_closing_takes_the_token_away(facade: Facade, alice: TokenRequest) -> None:
    source = facade.source(alice)
    facade.ask(alice)
    facade.close_cache()
    assert isinstance(failure(source.token_future()), Closed)
    assert source.snapshot is None


def test_closing_the_client_ends_calls_and_refreshes(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest, caplog: pytest.LogCaptureFixture
) -> None:
    users = [replace(alice, logins={server.developer_provider_name: str(number)}) for number in range(40)]
    server.pause()
    waiting = [facade.source(user).token_future() for user in users]
    server.wait_for_calls(32)
    with ThreadPoolExecutor() as threads:
        call = threads.submit(facade.call, "get_token", request=alice)
        server.wait_for_calls(33)
        if isinstance(facade, AsyncFacade):
            facade.run(facade.client.close())
        else:
            facade.client.close()
        assert isinstance(call.exception(PATIENCE), Closed)
    assert {type(failure(future)) for future in waiting} == {Closed}
    assert not caplog.records


def test_a_closed_client_is_reported_as_closed(facade: Facade, alice: TokenRequest) -> None:
    if isinstance(facade, AsyncFacade):
        facade.run(facade.client.close())
    else:
        facade.client.close()
    assert isinstance(refused(facade, alice), Closed)
    with pytest.raises(Closed):
        facade.call("get_token", request=alice)


def test_a_request_that_cannot_be_sent_leaves_no_caller_waiting(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    request = replace(alice, principal_tags={"tag": "\udcff"})
    with pytest.raises(UnicodeEncodeError):
        facade.source(request)
    source = facade.source(alice)
    object.__setattr__(alice, "logins", {"login": "\udcff"})
    error = failure(source.token_future())
    assert error.code is grpc.StatusCode.UNKNOWN
    assert "udcff" not in str(error)
    assert server.requests == []


@pytest.mark.parametrize("lost_by", ["rejection", "expiry"])
def test_a_user_whose_token_is_lost_makes_room_first(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, lost_by: str
) -> None:
    old, lost, new, newer = (replace(alice, logins={server.developer_provider_name: name}) for name in "abcd")
    with facade_type(server.endpoint, CachingPolicy(clock=clock), max_users=2) as facade:
        if lost_by == "rejection":
            kept = facade.ask(old)
            facade.source(lost).invalidate(facade.ask(lost).value)
        else:
            facade.ask(lost)
            clock.advance(10_000)
            kept = facade.ask(old)
            server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
            with pytest.raises(TokendError):
                facade.ask(lost)
            server.recover()
        given = facade.ask(new)
        assert (facade.ask(old), facade.ask(new)) == (kept, given)
        facade.ask(newer)
        assert facade.ask(new) is given


def test_the_least_recently_used_makes_room(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    users = [replace(alice, logins={server.developer_provider_name: name}) for name in ("a", "b", "c")]
    with facade_type(server.endpoint, CachingPolicy(clock=clock), max_users=2) as facade:
        first, second, _ = facade.ask(users[0]), facade.ask(users[1]), facade.ask(users[0])
        held = facade.source(users[1])
        facade.ask(users[0])
        facade.ask(users[2])
        assert len(facade.cache) == 2
        assert facade.ask(users[0]) is first
        assert held.token_future().result(PATIENCE) is second
        assert facade.ask(users[1]) is not second
        assert len(server.requests) == 4
        facade.close_cache()
        assert isinstance(failure(held.token_future()), Closed)


def test_who_makes_room_during_a_refresh_is_back_when_it_brings_a_token(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    first, refreshing, idle = (replace(alice, logins={server.developer_provider_name: name}) for name in "abc")
    with facade_type(server.endpoint, CachingPolicy(clock=clock), max_users=2) as facade:
        kept = facade.ask(first)
        server.pause()
        future = facade.begin(refreshing)
        server.wait_for_calls(2)
        facade.source(idle)
        assert len(facade.cache) == 2
        server.resume()
        brought = future.result(PATIENCE)
        asked = len(server.requests)
        assert (facade.ask(refreshing), facade.ask(first)) == (brought, kept)
        assert (len(facade.cache), len(server.requests)) == (2, asked)


def test_who_made_room_stays_away_where_the_place_is_taken_or_the_cache_is_closed(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    other = replace(alice, logins={server.developer_provider_name: "other"})
    with facade_type(server.endpoint, CachingPolicy(clock=clock), max_users=1) as facade:
        before = facade.source(alice)
        facade.source(other)
        after = facade.source(alice)
        assert after is not before
        before.token_future().result(PATIENCE)
        assert facade.source(alice) is after
        assert after.snapshot is None
        facade.close_cache()
        assert len(facade.cache) == 0


def test_a_future_is_done_at_once_where_there_is_a_token(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    source = facade.source(alice)
    first = source.token_future().result(PATIENCE)
    clock.advance(UNTIL_REFRESH)
    server.pause()
    assert source.token_future().result(PATIENCE) is first
    server.wait_for_calls(2)
