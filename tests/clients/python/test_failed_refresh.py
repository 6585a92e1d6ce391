import logging
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from tests.clients.python.asking import LIFE, UNTIL_REFRESH, failure, refused, warm
from tests.clients.python.conftest import Draws
from tests.clients.python.facades import Facade, patient
from tests.fakes.clock import FakeClock

from tokend_client import ErrorReason, TokenRequest
from tokend_client.testing import Failure, FakeTokendServer

#: The start of both clocks, in seconds, for machines whose clocks differ.
EPOCH = 1_800_000_000.0


def test_a_failed_refresh_keeps_the_token_and_backs_off(
    facade: Facade, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, draws: Draws
) -> None:
    old = warm(facade, alice, clock, UNTIL_REFRESH)
    server.fail(Failure(ErrorReason.INTERNAL))
    # Each is from the upper half of 1, 2, 4, 8 s.
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


def test_no_call_is_made_before_the_servers_retry_delay_is_over(
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


def test_a_wrong_clock_is_reported_once(
    facade_type: type[Facade], alice: TokenRequest, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        FakeTokendServer(clock=FakeClock(now=EPOCH), algorithm="ES256") as server,
        facade_type(server.endpoint, patient(clock=FakeClock(now=EPOCH + 3600))) as facade,
    ):
        for user in (alice, replace(alice, principal_tags={"a": "b"})):
            assert facade.ask(user)
            facade.wait_for_refresh(user)
    assert [record.getMessage() for record in caplog.records] == [
        "The clock of this machine is 3600 s ahead of the token service's"
    ]


def test_a_filter_of_a_logger_that_fails_leaves_no_caller_waiting(
    facade_type: type[Facade], alice: TokenRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_record: logging.LogRecord) -> bool:
        raise RuntimeError("a defect of the filter")

    logger = logging.getLogger("tokend_client")
    logger.addFilter(fail)
    clock = FakeClock(now=EPOCH + 3600)
    try:
        with (
            FakeTokendServer(clock=FakeClock(now=EPOCH), algorithm="ES256") as server,
            facade_type(server.endpoint, patient(clock=clock)) as facade,
        ):
            server.fail(Failure(ErrorReason.INTERNAL))
            assert refused(facade, alice).reason == ErrorReason.INTERNAL
            server.recover()
            clock.advance(60)
            assert facade.ask(alice)
            facade.wait_for_refresh(alice)
        assert capsys.readouterr().err.count("a defect of the filter\n") == 2
    finally:
        logger.removeFilter(fail)


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
