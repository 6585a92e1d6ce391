"""The metrics and logs of a client."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from tests.clients.python.bearer_server import BearerServer, bearer_server, call
from tests.clients.python.facades import OPTIONS, patient
from tests.fakes.clock import FakeClock

from tokend_client import (
    AsyncClient,
    AsyncTokenCache,
    Client,
    ErrorReason,
    TokenCache,
    TokendError,
    TokenRequest,
)
from tokend_client.channel import channel_options
from tokend_client.telemetry import client_version
from tokend_client.testing import Failure, FakeTokendServer


class Meters:
    """A meter provider and its counts."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def counted(self) -> dict[str, int | float]:
        """Sums by `name`, or `name error.type`."""
        data = self._reader.get_metrics_data()
        assert data
        sums = {}
        for metric in [each for scope in data.resource_metrics[0].scope_metrics for each in scope.metrics]:
            for point in metric.data.data_points:
                assert isinstance(point, NumberDataPoint)
                attributes = map(str, (point.attributes or {}).values())
                sums[" ".join([metric.name.removeprefix("tokend.client."), *attributes])] = point.value
        return sums


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def cache(server: FakeTokendServer, clock: FakeClock, meters: Meters) -> Iterator[TokenCache]:
    with (
        Client(server.endpoint, plaintext=True, options=OPTIONS, meter_provider=meters.provider) as client,
        TokenCache(client, policy=patient(clock=clock), max_users=2) as cache,
    ):
        yield cache


def test_the_events_of_tokens_are_counted(
    cache: TokenCache, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, meters: Meters
) -> None:
    bob, carol = (replace(alice, logins={server.developer_provider_name: name}) for name in ("bob", "carol"))
    cache.token(alice)
    cache.token(alice)
    clock.advance(400)
    cache.token(alice)
    cache.source(alice).wait_for_refresh()
    cache.token(bob)
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    with pytest.raises(TokendError):
        cache.token(carol)
    assert meters.counted() == {
        "refreshes": 3,
        "refreshes NOT_AUTHORIZED": 1,
        "stale_tokens": 1,
        "cache.users": 2,
        "cache.evictions": 1,
    }
    server.stop()
    with pytest.raises(TokendError):
        cache.token(alice)
    assert meters.counted()["refreshes UNAVAILABLE"] == 1
    cache.close()
    assert meters.counted()["cache.users"] == 0


def test_an_asyncio_client_counts_refreshes_and_users(
    server: FakeTokendServer, alice: TokenRequest, meters: Meters
) -> None:
    async def ask() -> None:
        async with (
            AsyncClient(server.endpoint, plaintext=True, options=OPTIONS, meter_provider=meters.provider) as client,
            AsyncTokenCache(client) as cache,
        ):
            await cache.token(alice)

    asyncio.run(ask())
    assert meters.counted() == {"refreshes": 1, "cache.users": 0}


def test_a_failure_is_logged_with_its_source_and_the_next_attempt(
    cache: TokenCache, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tokend_client")
    user = f"a user of {server.developer_provider_name} in {server.identity_pool_id}"
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED, text="No."))
    for _ in range(2):
        with pytest.raises(TokendError):
            cache.token(alice)
        clock.advance(10)
    server.recover()
    cache.token(alice)
    failure = f"No token for {user}: PERMISSION_DENIED NOT_AUTHORIZED: No.; the next attempt is in"
    logged = [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "tokend_client"]
    assert [(level, text[: len(failure)]) for level, text in logged[:2]] == [("WARNING", failure), ("DEBUG", failure)]
    assert logged[2:] == [("INFO", f"There are tokens for {user} again")]
    assert "alice" not in caplog.text


def test_a_log_that_hangs_holds_no_lock_of_a_source(
    cache: TokenCache, server: FakeTokendServer, alice: TokenRequest, clock: FakeClock
) -> None:
    logs, goes_on = threading.Event(), threading.Event()

    class Hangs(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            logs.set()
            goes_on.wait(60)

    source = cache.source(alice)
    token = source.token()
    clock.advance(400)
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    logger = logging.getLogger("tokend_client")
    logger.addHandler(handler := Hangs())
    with ThreadPoolExecutor(2) as callers:
        callers.submit(source.token)  # this thread logs a refresh that fails at once
        try:
            assert logs.wait(30)
            assert callers.submit(source.token).result(20) is token
        finally:
            goes_on.set()
            logger.removeHandler(handler)
    source.wait_for_refresh()


def test_failures_of_many_users_are_logged_once_a_second(
    cache: TokenCache, server: FakeTokendServer, clock: FakeClock, alice: TokenRequest, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    for number in range(20):
        with pytest.raises(TokendError):
            cache.token(replace(alice, logins={server.developer_provider_name: str(number)}))
        clock.advance(0.125)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 3


class Agents(BearerServer):
    """Records the user agents of calls."""

    def __call__(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        self.seen.append(str(dict(context.invocation_metadata())["user-agent"]))
        return b"done"


def test_calls_name_the_client_and_its_version() -> None:
    with (
        bearer_server(service=Agents()) as server,
        grpc.insecure_channel(server.address, channel_options(OPTIONS)) as channel,
    ):
        assert call(channel) == b"done"
    assert server.seen[0]
    assert server.seen[0].startswith(f"tokend-python/{client_version()} ")
