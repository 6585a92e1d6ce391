import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.util import int_to_base64
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import DISCOVERY_PATH, JWKS_PATH, Fault, OidcProvider, ec_key, jwk, rsa_key
from urllib3 import PoolManager

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.provider_documents import FetchFailed, fetch_keys, import_keys, require_secure_url
from tokend_server.engines.local.provider_keys import COOL_DOWN, MAX_AGE, ProviderKeys
from tokend_server.errors import DeadlineExceeded, LoginProviderUnavailable

NAME = "login.example"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def http() -> Iterator[PoolManager]:
    with PoolManager() as pool:
        yield pool


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture
def keys(provider: OidcProvider, http: PoolManager, clock: FakeClock) -> ProviderKeys:
    return ProviderKeys(NAME, provider.issuer, http, clock)


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
    assert [keys.find(f"bogus-{number}", deadline) for number in range(50)] == [()] * 50
    assert provider.fetches[JWKS_PATH] == 1


def test_an_unknown_id_makes_a_fetch_after_the_cool_down(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    keys.find("1", deadline)
    rotate(provider)

    clock.advance(COOL_DOWN - 1)
    assert keys.find("2", deadline) == ()
    clock.advance(1)
    assert ids(keys.find("2", deadline)) == ["2"]
    assert ids(keys.find("2", deadline)) == ["2"]
    assert keys.find("1", deadline) == ()
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


def test_the_short_deadline_of_the_first_caller_spoils_nothing_for_the_next(
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
    with no_new_threads(), pytest.raises(DeadlineExceeded):
        keys.find("1", Deadline(clock, clock.monotonic()))


def test_no_fetch_is_begun_beside_one_that_is_overdue(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    provider.fault = Fault.HANG
    with pytest.raises(DeadlineExceeded):
        keys.find("1", in_real_time(0.02))
    assert provider.hanging.wait(10)
    clock.advance(COOL_DOWN)
    with no_new_threads(), pytest.raises(LoginProviderUnavailable):
        keys.find("1", deadline)


def test_no_fetch_is_begun_for_fresh_keys(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock
) -> None:
    keys.find("1", deadline)
    provider.fault = Fault.HANG
    clock.advance(MAX_AGE - 1)
    with no_new_threads():
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
    with pytest.raises(LoginProviderUnavailable):
        keys.find("2", deadline)  # waits for the same fetch
    assert ids(keys.find("1", deadline)) == ["1"]
    assert provider.fetches[DISCOVERY_PATH] == 2
    assert provider.fetches["/elsewhere"] == 0


@pytest.mark.parametrize("fault", FAULTS_OF_A_FETCH)
def test_an_outage_is_not_hammered(
    provider: OidcProvider, keys: ProviderKeys, deadline: Deadline, clock: FakeClock, fault: Fault
) -> None:
    provider.fault = fault
    for _ in range(5):
        with pytest.raises(LoginProviderUnavailable, match=NAME) as caught:
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
    with pytest.raises(LoginProviderUnavailable):
        keys.find("1", deadline)


def test_a_provider_that_does_not_answer_is_given_up(
    provider: OidcProvider, http: PoolManager, caplog: pytest.LogCaptureFixture
) -> None:
    provider.fault = Fault.HANG
    clock = SystemClock()
    with caplog.at_level(logging.WARNING), pytest.raises(LoginProviderUnavailable):
        ProviderKeys(NAME, provider.issuer, http, clock).find("1", Deadline(clock))
    assert "ReadTimeoutError" in caplog.text


def test_a_body_that_trickles_in_is_given_up(http: PoolManager) -> None:
    with trickling() as issuer, pytest.raises(FetchFailed, match="too long"):
        fetch_keys(issuer, http, in_real_time(0.2))


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example",
        "http://127.0.0.1.login.example",
        "http://127.0.0.1@login.example",
        "http://[2001:db8::1]:8080",
        "http://10.0.0.1",
        "https://",
        "https://user:password@login.example",
        "ftp://127.0.0.1",
        "login.example",
        "",
    ],
)
def test_insecure_issuers_are_refused(issuer: str, http: PoolManager, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="https"):
        ProviderKeys(NAME, issuer, http, clock)


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example/path",
        "HTTPS://login.example:8443",
        "http://127.0.0.1:1",
        "http://127.1.2.3",
        "http://[::1]:1",
        "http://localhost:1",
    ],
)
def test_https_and_loopback_urls_are_allowed(url: str) -> None:
    require_secure_url(url)


def test_only_keys_that_can_verify_are_imported() -> None:
    good = jwk(ec_key("P-384"), kid="good")
    short = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    useless = [
        jwk(rsa_key("1"), use="enc"),
        jwk(rsa_key("1"), use="other"),
        {**rsa_key("1").as_dict(private=True)},
        {"kty": "RSA", "n": int_to_base64(short.n), "e": "AQAB"},
        {"kty": "RSA", "n": 1, "e": "AQAB"},
        {"kty": "RSA"},
        {"kty": "EC", "crv": "P-256", "x": good["x"], "y": good["y"]},
        {"kty": "EC", "crv": "P-000", "x": good["x"], "y": good["y"]},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": ["RSA"]},
        {"kid": "none"},
        {**good, "kid": 5},
        "RSA",
        None,
    ]
    assert ids(import_keys({"keys": [*useless, good]})) == ["good"]
    assert import_keys({"keys": useless}) == ()
    assert import_keys({"keys": {"kty": "EC"}}) == ()
    assert import_keys({}) == ()


@contextlib.contextmanager
def no_new_threads() -> Iterator[None]:
    """Fails if a fetch is begun: a fetch that hangs is sure to be seen."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def in_real_time(seconds: float) -> Deadline:
    clock = SystemClock()
    return Deadline(clock, clock.monotonic() + seconds)


@contextlib.contextmanager
def trickling() -> Iterator[str]:
    """A server whose answer comes byte by byte and never ends; gives its URL."""
    stopped = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            while not stopped.wait(0.01):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as server:
        served = server.submit(serve)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        served.result()
