"""When a token is cached and when it is refreshed, with a clock that the test moves."""

from dataclasses import replace

import pytest
from tests.clients.python.asking import LIFE, UNTIL_REFRESH, warm
from tests.clients.python.conftest import Draws
from tests.clients.python.facades import TIMEOUT, Facade, patient
from tests.fakes.clock import FakeClock

from tokend_client import TokenRequest
from tokend_client.testing import FakeTokendServer


def test_a_fresh_token_is_the_same_snapshot_and_costs_no_call(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    first = warm(facade, alice, clock, UNTIL_REFRESH - 1)
    assert [facade.ask(alice) is first for _ in range(3)] == [True] * 3
    assert len(server.requests) == 1


def test_a_refresh_is_brought_forward_by_the_drawn_jitter(
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
    assert [future.result(TIMEOUT) for future in [facade.begin(alice) for _ in range(64)]] == [old] * 64
    server.wait_for_calls(2)
    server.resume()
    facade.wait_for_refresh(alice)
    new = facade.ask(alice)
    assert new.value != old.value
    assert len(server.requests) == 2


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
    assert waiting.result(TIMEOUT) is not old


def test_a_clock_that_is_set_back_makes_no_token_younger(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = facade.ask(alice)
    monkeypatch.setattr(clock, "_monotonic", clock.monotonic() + LIFE)
    assert facade.ask(alice) is not old
    monkeypatch.setattr(clock, "_now", clock.now() + LIFE)
    assert facade.ask(alice) is not old
    assert len(server.requests) == 3


def test_a_new_token_is_returned_even_if_expired_by_the_local_clock(
    facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    ahead = FakeClock(now=clock.now() + 10 * LIFE)
    with facade_type(server.endpoint, patient(clock=ahead)) as facade:
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
    with facade_type(server.endpoint, patient(clock=wrong)) as facade:
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


def test_a_future_is_done_at_once_where_there_is_a_token(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest
) -> None:
    source = facade.source(alice)
    first = source.token_future().result(TIMEOUT)
    clock.advance(UNTIL_REFRESH)
    server.pause()
    assert source.token_future().result(TIMEOUT) is first
    server.wait_for_calls(2)
