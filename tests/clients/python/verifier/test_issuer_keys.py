"""The cache of the issuer's keys: rotations, outages and floods of unknown keys."""

import math
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import JWKS_PATH, Fault, OidcProvider, jwk, rsa_key

from tokend_client.verifier import KeysUnavailable, TokenRejected
from tokend_client.verifier.issuer_keys import IssuerKeys, KeyTimes, keys_url

#: Another test covers a hung issuer, and an http issuer may publish its keys by http.
NO_FAULTS = {Fault.NONE, Fault.HANG, Fault.DISCOVERY_OF_INSECURE_KEYS}
TIMES = KeyTimes(refresh_after=300, usable_for=3600, pause=10, timeout=5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(issuer: OidcProvider, clock: FakeClock) -> IssuerKeys:
    return IssuerKeys(issuer.issuer, TIMES, monotonic=clock.monotonic)


def fetches(issuer: OidcProvider) -> int:
    return issuer.fetches[JWKS_PATH]


def wait_for_background_fetch() -> None:
    for thread in threading.enumerate():
        if thread.name == "tokend-issuer-keys":
            thread.join()


def rotate(issuer: OidcProvider, *kids: str) -> None:
    issuer.jwks = [jwk(rsa_key(kid), kid=kid, alg="RS256", use="sig") for kid in kids]


def test_keys_are_fetched_once(issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock) -> None:
    assert keys.held("1") is None
    assert keys.find("1").key_id == "1"
    clock.advance(299)
    assert keys.held("1")
    assert fetches(issuer) == 1


def test_old_keys_verify_while_they_are_fetched_again(issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock) -> None:
    keys.find("1")
    issuer.fault = Fault.HANG
    clock.advance(300)
    assert keys.held("1")
    assert issuer.hanging.wait(10)
    assert keys.held("1")
    issuer.fault = Fault.NONE
    issuer.released.set()
    wait_for_background_fetch()
    assert keys.held("1")
    assert fetches(issuer) == 2


def test_keys_stay_usable_if_no_thread_can_be_started(
    issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    keys.find("1")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        clock.advance(300)
        assert keys.held("1")
        assert keys.held("1")
    clock.advance(10)
    rotate(issuer, "1", "2")
    assert keys.find("2")


def test_a_key_that_was_removed_is_gone_after_the_next_fetch(
    issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock
) -> None:
    keys.find("1")
    rotate(issuer, "2")
    clock.advance(300)
    keys.held("1")
    wait_for_background_fetch()
    assert keys.held("1") is None
    assert keys.held("2")
    with pytest.raises(TokenRejected):
        keys.find("1")


def test_a_new_key_is_fetched_when_a_token_names_it(issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock) -> None:
    keys.find("1")
    rotate(issuer, "1", "2")
    clock.advance(10)
    assert keys.find("2").key_id == "2"
    assert fetches(issuer) == 2


def test_unknown_keys_cost_one_fetch_in_each_pause(issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock) -> None:
    for expected in (1, 2, 3):
        for number in range(20):
            with pytest.raises(TokenRejected, match="does not publish"):
                keys.find(f"unknown-{number}")
        assert fetches(issuer) == expected
        clock.advance(10)


def test_threads_that_need_the_same_key_fetch_it_once(issuer: OidcProvider, keys: IssuerKeys) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert {key.key_id for key in threads.map(lambda _: keys.find("1"), range(8))} == {"1"}
    assert fetches(issuer) == 1


def test_keys_stay_usable_during_an_outage_until_their_maximum_age(
    issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock
) -> None:
    keys.find("1")
    issuer.fault = Fault.STATUS_500
    clock.advance(3599)
    assert keys.held("1")
    wait_for_background_fetch()
    clock.advance(1)
    assert keys.held("1") is None
    clock.advance(10)
    with pytest.raises(KeysUnavailable):
        keys.find("1")
    issuer.fault = Fault.NONE
    clock.advance(10)
    assert keys.find("1")


def test_a_failed_fetch_is_made_again_after_the_pause(issuer: OidcProvider, keys: IssuerKeys, clock: FakeClock) -> None:
    issuer.fault = Fault.STATUS_500
    for _ in range(5):
        with pytest.raises(KeysUnavailable):
            keys.find("1")
    assert fetches(issuer) == 1
    issuer.fault = Fault.NONE
    clock.advance(10)
    assert keys.find("1")


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in NO_FAULTS])
def test_invalid_key_responses_are_rejected(
    issuer: OidcProvider, keys: IssuerKeys, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.fault = fault
    with pytest.raises(KeysUnavailable):
        keys.find("1")
    [record] = caplog.records
    assert record.getMessage().startswith(f"The keys of {issuer.issuer} cannot be fetched: ")


@pytest.mark.parametrize("status", [b"102 Processing", b"103 Early Hints"])
def test_informational_responses_are_skipped(issuer: OidcProvider, keys: IssuerKeys, status: bytes) -> None:
    issuer.provisional = b"HTTP/1.1 " + status + b"\r\nlink: </style.css>\r\n\r\n"
    assert keys.find("1").key_id == "1"


def test_keys_for_other_uses_are_passed_over(issuer: OidcProvider, keys: IssuerKeys) -> None:
    issuer.jwks = [jwk(rsa_key("1"), kid="1", alg="RS256", use="enc"), jwk(rsa_key("2"), kid="2")]
    with pytest.raises(TokenRejected):
        keys.find("1")
    assert keys.held("2")


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "x", "pub": "AAAA"},
        {"kty": "EC", "crv": "secp999", "kid": "x", "x": "AAAA", "y": "AAAA"},
        {"kty": "RSA", "e": "AQAB", "kid": "x"},
        jwk(rsa_key("1")) | {"kid": ["x"]},
        jwk(rsa_key("1")) | {"kid": "x", "alg": ["RS256"]},
        jwk(rsa_key("1")) | {"kid": "x", "use": {}},
        {"kid": "x"},
        None,
        "key",
        [],
        1,
    ],
)
def test_keys_that_are_not_understood_are_ignored(
    issuer: OidcProvider,
    keys: IssuerKeys,
    other: Any,  # noqa: ANN401 - any JSON
) -> None:
    issuer.jwks = [other, jwk(rsa_key("1"), kid="1", alg="RS256", use="sig")]
    assert keys.find("1").key_id == "1"


@pytest.mark.parametrize("listed", [None, {}, "keys", 1, [], [{"kid": ["x"]}]], ids=str)
def test_a_malformed_key_list_is_rejected(
    issuer: OidcProvider,
    keys: IssuerKeys,
    listed: Any,  # noqa: ANN401 - any JSON
) -> None:
    issuer.jwks = listed
    with pytest.raises(KeysUnavailable):
        keys.find("1")


@pytest.mark.parametrize("member", [{1: "x", "1": "y"}, {"x": float("nan")}], ids=["a duplicate", "no number"])
def test_malformed_json_of_keys_is_rejected(issuer: OidcProvider, keys: IssuerKeys, member: dict[Any, Any]) -> None:
    issuer.jwks = [jwk(rsa_key("1"), kid="1", alg="RS256", use="sig"), member]
    with pytest.raises(KeysUnavailable):
        keys.find("1")


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ({"refresh_after": -1.0}, "refresh_after must not be negative: -1.0"),
        ({"refresh_after": math.nan}, "refresh_after must not be negative: nan"),
        ({"pause": -0.1}, "pause must not be negative: -0.1"),
        ({"usable_for": 0}, "usable_for must be positive: 0"),
        ({"timeout": 0}, "timeout must be positive, and at most 2147483 seconds: 0"),
        ({"timeout": math.nan}, "timeout must be positive, and at most 2147483 seconds: nan"),
        ({"timeout": math.inf}, "timeout must be positive, and at most 2147483 seconds: inf"),
    ],
)
def test_times_outside_their_limits_are_rejected(times: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        KeyTimes(**times)


def test_the_longest_timeout_is_accepted_by_a_socket(issuer: OidcProvider) -> None:
    assert IssuerKeys(issuer.issuer, KeyTimes(timeout=2_147_483)).find("1")


def test_a_fetch_from_a_hung_issuer_times_out(issuer: OidcProvider, clock: FakeClock) -> None:
    keys = IssuerKeys(issuer.issuer, KeyTimes(timeout=0.2), monotonic=clock.monotonic)
    issuer.fault = Fault.HANG
    with pytest.raises(KeysUnavailable):
        keys.find("1")


FORKS_DURING_A_FETCH = """
    import os, signal, sys
    from tokend_client.verifier.issuer_keys import IssuerKeys, KeyTimes

    keys = IssuerKeys(sys.argv[1], KeyTimes(refresh_after=0, pause=0, timeout=60))
    keys.find("1")
    print("found", flush=True)
    sys.stdin.readline()
    keys.held("1")  # which has them fetched in the background
    sys.stdin.readline()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        print(keys.find("2").key_id, flush=True)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_a_child_that_is_forked_during_a_fetch_can_fetch(issuer: OidcProvider) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(FORKS_DURING_A_FETCH), issuer.issuer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "found\n"
        issuer.fault = Fault.HANG
        process.stdin.write("\n")
        process.stdin.flush()
        assert issuer.hanging.wait(30)
        issuer.fault = Fault.NONE
        rotate(issuer, "1", "2")
        process.stdin.write("\n")
        process.stdin.flush()
        output = process.stdout.read()
        issuer.released.set()
    assert output == "2\n0\n"


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_fetch_with_an_endless_response_times_out(part: str) -> None:
    with dripping(part) as url, pytest.raises(KeysUnavailable):
        IssuerKeys(url, KeyTimes(timeout=0.5)).find("1")


@contextmanager
def dripping(part: str) -> Iterator[str]:
    """A server whose response never ends: it sends octet by octet, each within the read timeout."""
    head = "HTTP/1.1 200 OK\r\n" + ("content-length: 100000\r\n\r\n" if part == "body" else "x: ")
    given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(ConnectionError):
                connection.recv(1 << 16)
                connection.sendall(head.encode())
                while not given_up.wait(0.1):
                    connection.sendall(b" ")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            given_up.set()
            thread.join()


@pytest.mark.parametrize(
    ("issuer_url", "jwks_uri"),
    [("https://a.example", "https://b.example/keys"), ("http://a.example", "https://a.example/keys")],
)
def test_the_jwks_uri_may_be_on_another_host_or_upgrade_to_https(issuer_url: str, jwks_uri: str) -> None:
    assert keys_url(issuer_url, {"issuer": issuer_url, "jwks_uri": jwks_uri}) == jwks_uri


@pytest.mark.parametrize("jwks_uri", ["http://a.example/keys", "file:///etc/keys", "", 7, None])
def test_a_jwks_uri_without_https_is_rejected_for_an_https_issuer(jwks_uri: object) -> None:
    with pytest.raises(ValueError, match="from https to http"):
        keys_url("https://a.example", {"issuer": "https://a.example", "jwks_uri": jwks_uri})


def test_no_proxy_is_used_unless_environment_proxy_is_set(
    issuer: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert IssuerKeys(issuer.issuer).find("1")
    with pytest.raises(KeysUnavailable):
        IssuerKeys(issuer.issuer, environment_proxy=True).find("1")
