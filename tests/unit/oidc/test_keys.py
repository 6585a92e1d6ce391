import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import DISCOVERY_PATH, JWKS_PATH, Fault, OidcProvider, ec_key, jwk, rsa_key
from tests.support.threads import no_threads_left

from tokend_server.clock import Deadline, SystemClock
from tokend_server.errors import DeadlineExceeded
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.keys import COOL_DOWN, MAX_AGE, KeyNotKnownYet, KeysUnavailable, ProviderKeys
from tokend_server.oidc.outbound import IssuerHttp
from tokend_server.oidc.waits import Waits

NAME = "login.example"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(provider: OidcProvider, http: IssuerHttp, clock: FakeClock) -> ProviderKeys:
    return ProviderKeys(NAME, KeySource(issuer=provider.issuer, http=http), clock, waits=Waits(100))


@pytest.fixture
def deadline(clock: FakeClock) -> Deadline:
    return Deadline(clock)


def ids(found: tuple[Any, ...]) -> list[str | None]:
    return [key.kid for key in found]


def rotate(provider: OidcProvider) -> None:
    provider.jwks = [jwk(rsa_key("2"), kid="2")]


def test_keys_are_fetched_once_and_found_by_id(provider: OidcProvider, keys: ProviderKeys, deadline: Deadline) -> None:
    provider.jwks.append(jwk(ec_key("P-256"), kid="ec"))

    assert ids(keys.find("ec", deadline)) == ["ec"]
    assert ids(keys.find("1", deadline)) == ["1"]
    assert ids(keys.find(None, deadline)) == ["1", "ec"]
    assert provider.fetches == {DISCOVERY_PATH: 1, JWKS_PATH: 1}


def test_fifty_unknown_ids_make_one_fetch(provider: OidcProvider, keys: ProviderKeys, deadline: Deadline) -> None:
    assert keys.find("bogus", deadline) == ()
    for number in range(50):
        with pytest.raises(KeyNotKnownYet) as caught:
            keys.find(f"bogus-{number}", deadline)
        assert caught.value.retry_after == COOL_DOWN
    assert provider.fetches[JWKS_PATH] == 1


def test_an_unknown_id_makes_a_fetch_after_the_cool_down(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    keys.find("1", deadline)
    rotate(provider)

    clock.advance(COOL_DOWN - 1)
    with pytest.raises(KeyNotKnownYet) as caught:
        keys.find("2", deadline)
    assert caught.value.retry_after == 1
    clock.advance(1)
    assert ids(keys.find("2", deadline)) == ["2"]
    assert ids(keys.find("2", deadline)) == ["2"]
    with pytest.raises(KeyNotKnownYet):
        keys.find("1", deadline)
    assert provider.fetches[JWKS_PATH] == 2


def test_concurrent_callers_share_a_fetch(provider: OidcProvider, keys: ProviderKeys, deadline: Deadline) -> None:
    provider.fault = Fault.HANG
    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(keys.find, "1", deadline) for _ in range(8)]
        assert provider.hanging.wait(10)
        provider.released.set()
        assert [ids(call.result(10)) for call in calls] == [["1"]] * 8
    assert provider.fetches[JWKS_PATH] == 1


def test_a_follower_waits_no_longer_than_its_own_deadline(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline
) -> None:
    provider.fault = Fault.HANG
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(keys.find, "1", deadline)
        assert provider.hanging.wait(10)
        with pytest.raises(DeadlineExceeded):
            keys.find("1", in_real_time(0.02))
        assert not first.done()
        provider.released.set()
        assert ids(first.result(10)) == ["1"]


def test_a_short_deadline_does_not_cancel_the_fetch_for_the_next_caller(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline
) -> None:
    provider.fault = Fault.HANG
    with pytest.raises(DeadlineExceeded):
        keys.find("1", in_real_time(0.02))
    assert provider.hanging.wait(10)
    provider.released.set()
    assert ids(keys.find("1", deadline)) == ["1"]
    assert provider.fetches[JWKS_PATH] == 1


def test_no_fetch_is_begun_for_a_spent_deadline(provider: OidcProvider, keys: ProviderKeys, clock: FakeClock) -> None:
    provider.fault = Fault.HANG
    with no_threads_left(), pytest.raises(DeadlineExceeded):
        keys.find("1", Deadline(clock, clock.monotonic()))


def test_no_fetch_starts_while_an_overdue_one_runs(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    provider.fault = Fault.HANG
    with pytest.raises(DeadlineExceeded):
        keys.find("1", in_real_time(0.02))
    assert provider.hanging.wait(10)
    clock.advance(COOL_DOWN)
    with no_threads_left(), pytest.raises(KeysUnavailable):
        keys.find("1", deadline)


def test_no_fetch_is_begun_for_fresh_keys(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    keys.find("1", deadline)
    provider.fault = Fault.HANG
    clock.advance(MAX_AGE - 1)
    with no_threads_left():
        assert ids(keys.find("1", deadline)) == ["1"]


def test_stale_keys_are_used_while_they_are_renewed(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    keys.find("1", deadline)
    rotate(provider)
    provider.fault = Fault.HANG

    clock.advance(MAX_AGE)
    assert ids(keys.find("1", deadline)) == ["1"]
    assert provider.hanging.wait(10)
    assert ids(keys.find("1", Deadline(clock, clock.monotonic()))) == ["1"]

    provider.released.set()
    assert ids(keys.find("2", deadline)) == ["2"]  # waits for the same fetch
    assert provider.fetches[JWKS_PATH] == 2


@pytest.fixture
def aging_keys(provider: OidcProvider, http: IssuerHttp, clock: FakeClock) -> ProviderKeys:
    """Keys that are stale after 300 seconds and too old after 600."""
    source = KeySource(issuer=provider.issuer, http=http)
    return ProviderKeys(NAME, source, clock, max_age=300, too_old=600, waits=Waits(100))


def test_keys_are_renewed_at_the_configured_age(
    provider: OidcProvider, aging_keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    aging_keys.find("1", deadline)
    rotate(provider)
    clock.advance(299)
    assert ids(aging_keys.find("1", deadline)) == ["1"]
    assert provider.fetches[JWKS_PATH] == 1
    clock.advance(1)
    provider.fault = Fault.HANG
    assert ids(aging_keys.find("1", deadline)) == ["1"]
    assert provider.hanging.wait(10)
    provider.released.set()
    assert ids(aging_keys.find("2", deadline)) == ["2"]  # waits for the same fetch
    with pytest.raises(KeyNotKnownYet):
        aging_keys.find("1", deadline)


def test_a_withdrawn_key_is_not_used_once_it_is_too_old(
    provider: OidcProvider, aging_keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    aging_keys.find("1", deadline)
    rotate(provider)
    clock.advance(600)
    assert aging_keys.find("1", deadline) == ()


@pytest.mark.parametrize("fault", [Fault.STATUS_500, Fault.GARBAGE])
def test_keys_that_are_too_old_are_used_while_the_provider_fails(
    provider: OidcProvider, aging_keys: ProviderKeys, deadline: Deadline, clock: FakeClock, fault: Fault
) -> None:
    aging_keys.find("1", deadline)
    provider.fault = fault
    clock.advance(600)
    assert ids(aging_keys.find("1", deadline)) == ["1"]


def test_keys_that_are_too_old_are_used_if_the_deadline_expires(
    provider: OidcProvider, aging_keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    aging_keys.find("1", deadline)
    provider.fault = Fault.HANG
    clock.advance(600)
    assert ids(aging_keys.find("1", in_real_time(0.02))) == ["1"]
    assert provider.hanging.wait(10)


def test_no_call_waits_for_a_provider_that_failed_before(
    provider: OidcProvider,
    aging_keys: ProviderKeys,
    deadline: Deadline,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokend_server.oidc.keys.FETCH_TIMEOUT", 60.0)
    monkeypatch.setattr("tokend_server.oidc.outbound.SOCKET_TIMEOUT", 60.0)
    aging_keys.find("1", deadline)
    provider.fault = Fault.STATUS_500
    clock.advance(600)
    aging_keys.find("1", deadline)

    provider.fault = Fault.HANG
    clock.advance(COOL_DOWN)
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(aging_keys.find, "1", deadline)
        assert provider.hanging.wait(10)
        try:
            assert ids(call.result(10)) == ["1"]
        finally:
            provider.released.set()


FAULTS_OF_A_FETCH = [fault for fault in Fault if fault not in {Fault.NONE, Fault.HANG}]


@pytest.mark.parametrize("fault", FAULTS_OF_A_FETCH)
def test_a_failed_fetch_leaves_the_old_keys(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock, fault: Fault
) -> None:
    keys.find("1", deadline)
    rotate(provider)
    provider.fault = fault
    clock.advance(MAX_AGE)

    assert ids(keys.find("1", deadline)) == ["1"]
    with pytest.raises(KeysUnavailable):
        keys.find("2", deadline)  # waits for the same fetch
    assert ids(keys.find("1", deadline)) == ["1"]
    assert provider.fetches[DISCOVERY_PATH] == 2
    assert provider.fetches["/elsewhere"] == 0


@pytest.mark.parametrize("fault", FAULTS_OF_A_FETCH)
def test_a_failing_provider_is_not_called_again_during_the_cool_down(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock, fault: Fault
) -> None:
    provider.fault = fault
    for _ in range(5):
        with pytest.raises(KeysUnavailable) as caught:
            keys.find("1", deadline)
        assert caught.value.retry_after == clock_left(clock)
        clock.advance(5)
    assert provider.fetches[DISCOVERY_PATH] == 1

    provider.fault = Fault.NONE
    clock.advance(COOL_DOWN - 25)
    assert ids(keys.find("1", deadline)) == ["1"]


def clock_left(clock: FakeClock) -> float:
    return COOL_DOWN - (clock.monotonic() - FakeClock().monotonic())


def test_a_stopped_provider_is_unavailable(provider: OidcProvider, keys: ProviderKeys, deadline: Deadline) -> None:
    provider.stop()
    with pytest.raises(KeysUnavailable):
        keys.find("1", deadline)


def test_an_unresponsive_provider_times_out(
    provider: OidcProvider, http: IssuerHttp, caplog: pytest.LogCaptureFixture
) -> None:
    provider.fault = Fault.HANG
    clock = SystemClock()
    keys = ProviderKeys(NAME, KeySource(issuer=provider.issuer, http=http), clock, waits=Waits(100))
    with caplog.at_level(logging.WARNING), pytest.raises(KeysUnavailable):
        keys.find("1", Deadline(clock))
    assert NAME in caplog.text
    assert "ReadTimeoutError" in caplog.text


def in_real_time(seconds: float) -> Deadline:
    clock = SystemClock()
    return Deadline(clock, clock.monotonic() + seconds)


def test_a_fetch_fails_if_no_thread_can_be_started(
    keys: ProviderKeys, deadline: Deadline, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        with pytest.raises(KeysUnavailable):
            keys.find("1", deadline)
    clock.advance(COOL_DOWN)
    assert ids(keys.find("1", deadline)) == ["1"]


def test_an_unexpected_error_of_a_fetch_makes_the_keys_unavailable(
    keys: ProviderKeys, deadline: Deadline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("what the issuer has sent")

    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    monkeypatch.setattr("tokend_server.oidc.keys.fetch_keys", fail)
    with pytest.raises(KeysUnavailable):
        keys.find("1", deadline)
    assert ended == []
    assert "RuntimeError" in caplog.text
    assert "what the issuer" not in caplog.text
