"""Issuers that accept connections and never respond, and the threads that wait for them."""

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import DISCOVERY_PATH, JWKS_PATH, Fault, OidcProvider

from tokend_server.clock import Deadline
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.keys import FETCH_TIMEOUT, KeysUnavailable, ProviderKeys
from tokend_server.oidc.outbound import IssuerHttp
from tokend_server.oidc.waits import MAX_FETCHES

#: Seconds after which everything that does not wait has ended.
TIMEOUT = 30

THREADS = 16

HTTP = IssuerHttp()


@pytest.fixture(autouse=True)
def _hang_for_the_whole_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request ends by itself: the timeout of a fetch is measured with a stopped clock."""
    monkeypatch.setattr("tokend_server.oidc.outbound.SOCKET_TIMEOUT", 10.0 * TIMEOUT)
    monkeypatch.setattr("tokend_server.oidc.keys.FETCH_TIMEOUT", 10.0 * TIMEOUT)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


class Hanging:
    """Hanging providers, and threads that look up their keys."""

    def __init__(self, opened: ExitStack, count: int, threads: int = THREADS) -> None:
        self.clock = FakeClock()
        self.issuers = Issuers(self.clock, threads)
        self.threads = opened.enter_context(ThreadPoolExecutor(200))
        self.providers = [opened.enter_context(OidcProvider(fault=Fault.HANG)) for _ in range(count)]
        self.keys = [self.keys_of(provider) for provider in self.providers]
        opened.callback(self.release)

    def keys_of(self, provider: OidcProvider) -> ProviderKeys:
        return self.issuers.keys("provider", KeySource(issuer=provider.issuer, http=HTTP))

    def find(self, number: int) -> "Future[Any]":
        return self.threads.submit(self.keys[number].find, "1", Deadline(self.clock))

    def release(self) -> None:
        for provider in self.providers:
            provider.released.set()


def waiting(calls: list["Future[Any]"], expected: int) -> list["Future[Any]"]:
    """Returns the waiting calls when the expected number of calls was rejected."""
    pending = set(calls)
    while len(pending) > expected:
        done, pending = wait(pending, TIMEOUT, FIRST_COMPLETED)
        assert done, f"{len(pending)} threads wait for the issuer"
        for call in done:
            assert isinstance(call.exception(), KeysUnavailable)
    return list(pending)


def test_a_quarter_of_the_threads_wait_for_an_issuer_that_hangs(stack: ExitStack) -> None:
    hanging = Hanging(stack, 1)
    still = waiting([hanging.find(0) for _ in range(THREADS)], THREADS // 4)
    hanging.release()
    assert [[key.kid for key in call.result(TIMEOUT)] for call in still] == [["1"]] * (THREADS // 4)


def test_rejected_calls_get_the_retry_delay_of_the_fetch(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokend_server.oidc.keys.FETCH_TIMEOUT", FETCH_TIMEOUT)
    hanging = Hanging(stack, 1)
    calls = [hanging.find(0) for _ in range(THREADS)]
    done, _ = wait(calls, TIMEOUT, FIRST_COMPLETED)
    (error,) = {repr(call.exception()): call.exception() for call in done}.values()
    assert isinstance(error, KeysUnavailable)
    assert error.retry_after == FETCH_TIMEOUT
    hanging.release()


def test_at_most_half_of_the_threads_wait_for_hanging_issuers(stack: ExitStack) -> None:
    hanging = Hanging(stack, 4)
    waiting([hanging.find(number % 4) for number in range(2 * THREADS)], THREADS // 2)


def test_a_hanging_issuer_does_not_block_another_issuer(stack: ExitStack) -> None:
    hanging = Hanging(stack, 1)
    waiting([hanging.find(0) for _ in range(THREADS)], THREADS // 4)
    good = hanging.keys_of(stack.enter_context(OidcProvider()))
    assert [key.kid for key in good.find("1", Deadline(hanging.clock))] == ["1"]


def test_a_place_is_released_after_a_fetch(stack: ExitStack) -> None:
    hanging = Hanging(stack, 3, threads=1)
    for number, provider in enumerate(hanging.providers):
        (still,) = waiting([hanging.find(number), hanging.find(number)], 1)
        provider.released.set()
        still.result(TIMEOUT)


def test_concurrent_fetches_are_limited(stack: ExitStack) -> None:
    hanging = Hanging(stack, MAX_FETCHES + 4, threads=1000)
    calls = [hanging.find(number) for number in range(MAX_FETCHES + 4)]
    waiting(calls, MAX_FETCHES)
    fetching = [thread for thread in threading.enumerate() if thread.name == "provider-keys"]
    assert len(fetching) == MAX_FETCHES
    hanging.release()


def test_pools_with_the_same_provider_share_its_keys(stack: ExitStack) -> None:
    provider = stack.enter_context(OidcProvider())
    clock = FakeClock()
    issuers = Issuers(clock, THREADS)
    for _ in range(3):
        issuers.keys("provider", KeySource(issuer=provider.issuer, http=HTTP)).find("1", Deadline(clock))
    assert provider.fetches == {DISCOVERY_PATH: 1, JWKS_PATH: 1}
