"""Evictions of a full cache."""

from dataclasses import replace

import pytest
from tests.clients.python.asking import failure, refused
from tests.clients.python.facades import TIMEOUT, Facade, patient
from tests.fakes.clock import FakeClock

from tokend_client import Closed, ErrorReason, TokendError, TokenRequest
from tokend_client.testing import Failure, FakeTokendServer


def test_max_users_must_be_positive(facade_type: type[Facade], server: FakeTokendServer) -> None:
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"max_users must be positive: {size}"):
            facade_type(server.endpoint, max_users=size)


def test_a_user_without_a_token_makes_room_first(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    users = [replace(alice, logins={server.developer_provider_name: str(number)}) for number in range(5)]
    with facade_type(server.endpoint, patient(clock=clock), max_users=3) as facade:
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


@pytest.mark.parametrize("lost_by", ["rejection", "expiry"])
def test_a_user_whose_token_is_lost_makes_room_first(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, lost_by: str
) -> None:
    old, lost, new, newer = (replace(alice, logins={server.developer_provider_name: name}) for name in "abcd")
    with facade_type(server.endpoint, patient(clock=clock), max_users=2) as facade:
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


def test_the_least_recently_used_user_is_evicted(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    users = [replace(alice, logins={server.developer_provider_name: name}) for name in ("a", "b", "c")]
    with facade_type(server.endpoint, patient(clock=clock), max_users=2) as facade:
        first, second, _ = facade.ask(users[0]), facade.ask(users[1]), facade.ask(users[0])
        held = facade.source(users[1])
        facade.ask(users[0])
        facade.ask(users[2])
        assert len(facade.cache) == 2
        assert facade.ask(users[0]) is first
        assert held.token_future().result(TIMEOUT) is second
        assert facade.ask(users[1]) is not second
        assert len(server.requests) == 4
        facade.close_cache()
        assert isinstance(failure(held.token_future()), Closed)


def test_a_source_evicted_during_a_refresh_returns_with_its_token(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    first, refreshing, idle = (replace(alice, logins={server.developer_provider_name: name}) for name in "abc")
    with facade_type(server.endpoint, patient(clock=clock), max_users=2) as facade:
        kept = facade.ask(first)
        server.pause()
        future = facade.begin(refreshing)
        server.wait_for_calls(2)
        facade.source(idle)
        assert len(facade.cache) == 2
        server.resume()
        brought = future.result(TIMEOUT)
        asked = len(server.requests)
        assert (facade.ask(refreshing), facade.ask(first)) == (brought, kept)
        assert (len(facade.cache), len(server.requests)) == (2, asked)


def test_an_evicted_source_stays_out_if_it_was_replaced_or_the_cache_is_closed(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    other = replace(alice, logins={server.developer_provider_name: "other"})
    with facade_type(server.endpoint, patient(clock=clock), max_users=1) as facade:
        before = facade.source(alice)
        facade.source(other)
        after = facade.source(alice)
        assert after is not before
        before.token_future().result(TIMEOUT)
        assert facade.source(alice) is after
        assert after.snapshot is None
        facade.close_cache()
        assert len(facade.cache) == 0
