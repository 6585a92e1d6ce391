import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.util import int_to_base64
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import DISCOVERY_PATH, JWKS_PATH, Fault, OidcProvider, ec_key, jwk, rsa_key
from tests.support.certificates import write_certificate
from tests.unit.oidc.guarded_provider import GuardedProvider

from tokend_server.clock import Deadline, SystemClock
from tokend_server.oidc.documents import (
    KeySource,
    fetch_keys,
    import_keys,
)
from tokend_server.oidc.outbound import FetchFailed, IssuerHttp, require_secure_url

TOKEN = "eyJhbGciOiJSUzI1NiJ9.token-of-this.service_account=="


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedProvider]:
    with GuardedProvider(OidcProvider(), tmp_path, TOKEN) as running:
        yield running


@pytest.fixture
def private_http(guarded: GuardedProvider) -> IssuerHttp:
    """Trusts the guarded provider's authority."""
    return IssuerHttp(guarded.ca_file)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\r\n", encoding="utf-8-sig")  # as some editors write it
    return file


def fetched_ids(source: KeySource) -> list[str | None]:
    return ids_of(fetch_keys(source, Deadline(FakeClock())))


def ids_of(found: tuple[Any, ...]) -> list[str | None]:
    return [key.kid for key in found]


def test_the_bearer_token_is_sent_with_every_request(
    guarded: GuardedProvider, private_http: IssuerHttp, token_file: Path
) -> None:
    source = KeySource(issuer=guarded.issuer, http=private_http, bearer_token_file=token_file)
    assert fetched_ids(source) == ["1"]
    assert guarded.shown == [(DISCOVERY_PATH, f"Bearer {TOKEN}"), (JWKS_PATH, f"Bearer {TOKEN}")]


def test_the_bearer_token_is_read_for_each_fetch(
    guarded: GuardedProvider, private_http: IssuerHttp, token_file: Path
) -> None:
    source = KeySource(issuer=guarded.issuer, http=private_http, bearer_token_file=token_file)
    fetched_ids(source)
    guarded.token = "rotated"
    with pytest.raises(FetchFailed, match="status 401"):
        fetched_ids(source)
    token_file.write_text("rotated")
    assert fetched_ids(source) == ["1"]


def test_a_key_source_without_a_bearer_token_sends_none(
    guarded: GuardedProvider, private_http: IssuerHttp, token_file: Path
) -> None:
    guarded.token = None
    fetched_ids(KeySource(issuer=guarded.issuer, http=private_http, bearer_token_file=token_file))
    fetched_ids(KeySource(issuer=guarded.issuer, http=private_http))
    assert [authorization for _path, authorization in guarded.shown[2:]] == [None, None]


def test_the_bearer_token_follows_no_redirect(
    guarded: GuardedProvider, private_http: IssuerHttp, token_file: Path
) -> None:
    guarded.behind.fault = Fault.REDIRECT
    with pytest.raises(FetchFailed, match="status 302"):
        fetched_ids(KeySource(issuer=guarded.issuer, http=private_http, bearer_token_file=token_file))
    assert [path for path, _authorization in guarded.shown] == [DISCOVERY_PATH, JWKS_PATH]


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two words", b"two\nlines", b"a\r\nhost: other", "t\u00f6ken".encode(), b"\xff"]
)
def test_an_invalid_bearer_token_is_not_sent(
    guarded: GuardedProvider,
    private_http: IssuerHttp,
    token_file: Path,
    content: bytes,
) -> None:
    token_file.write_bytes(content)
    with pytest.raises(FetchFailed, match="contains no bearer token"):
        fetched_ids(KeySource(issuer=guarded.issuer, http=private_http, bearer_token_file=token_file))
    assert guarded.shown == []


def test_a_missing_bearer_token_fails_the_fetch(
    guarded: GuardedProvider, private_http: IssuerHttp, token_file: Path
) -> None:
    token_file.unlink()
    with pytest.raises(FetchFailed, match="No such file"):
        fetched_ids(KeySource(issuer=guarded.issuer, http=private_http, bearer_token_file=token_file))


def test_the_bearer_token_is_not_logged_or_shown_in_errors(
    guarded: GuardedProvider, private_http: IssuerHttp, token_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.token = "another"
    source = KeySource(issuer=guarded.issuer, http=private_http, bearer_token_file=token_file)
    with caplog.at_level(logging.DEBUG, "urllib3"), pytest.raises(FetchFailed) as caught:
        fetched_ids(source)
    assert caplog.records
    assert TOKEN not in f"{caplog.text} {caught.value!r} {source!r}"


def test_a_configured_jwks_url_needs_no_discovery(guarded: GuardedProvider, private_http: IssuerHttp) -> None:
    guarded.token = None
    source = KeySource(issuer="https://elsewhere.example", jwks_url=f"{guarded.issuer}/keys", http=private_http)
    assert fetched_ids(source) == ["1"]
    assert [path for path, _authorization in guarded.shown] == ["/keys"]


def test_a_certificate_of_another_authority_is_rejected(guarded: GuardedProvider, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write_certificate(tmp_path / "other")
    for ca_file in (None, other.certificate_file):
        with pytest.raises(FetchFailed, match="SSLError"):
            fetched_ids(KeySource(issuer=guarded.issuer, http=IssuerHttp(ca_file)))
    assert guarded.shown == []


def test_authorities_are_read_for_each_connection(
    guarded: GuardedProvider, private_http: IssuerHttp, tmp_path: Path
) -> None:
    guarded.token = None
    source = KeySource(issuer=guarded.issuer, http=private_http)
    believed = guarded.ca_file.read_bytes()
    assert fetched_ids(source) == ["1"]
    (tmp_path / "other").mkdir()
    guarded.ca_file.write_bytes(write_certificate(tmp_path / "other").certificate_file.read_bytes())
    with pytest.raises(FetchFailed, match="SSLError"):
        fetched_ids(source)
    guarded.ca_file.unlink()
    with pytest.raises(FetchFailed, match="No such file"):
        fetched_ids(source)
    guarded.ca_file.write_bytes(believed)
    assert fetched_ids(source) == ["1"]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"  "])
def test_every_authority_in_a_ca_file_is_trusted(mark: bytes, guarded: GuardedProvider, tmp_path: Path) -> None:
    guarded.token = None
    (tmp_path / "other").mkdir()
    other = write_certificate(tmp_path / "other").certificate_file
    other.write_bytes(mark + guarded.ca_file.read_bytes() + other.read_bytes())
    assert fetched_ids(KeySource(issuer=guarded.issuer, http=IssuerHttp(other))) == ["1"]


def test_a_file_with_an_authority_that_is_cut_off_is_refused(guarded: GuardedProvider, tmp_path: Path) -> None:
    whole = guarded.ca_file.read_bytes()
    (tmp_path / "cut.crt").write_bytes(whole + whole[:200])
    with pytest.raises(ValueError, match="truncated"):
        IssuerHttp(tmp_path / "cut.crt")


def test_a_file_without_authorities_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path / "missing", tmp_path / "empty", tmp_path / "garbage", tmp_path):
        if file.name in {"empty", "garbage"}:
            file.write_text(file.name.removeprefix("empty"))
        with pytest.raises(ValueError, match="no certificates"):
            IssuerHttp(file)


def test_a_slow_body_times_out(http: IssuerHttp) -> None:
    clock = SystemClock()
    with trickling() as issuer, pytest.raises(FetchFailed, match=r"too long|ReadTimeoutError"):
        fetch_keys(KeySource(issuer=issuer, http=http), Deadline(clock, clock.monotonic() + 0.2))


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
def test_insecure_urls_are_refused(issuer: str, http: IssuerHttp) -> None:
    with pytest.raises(ValueError, match="https"):
        KeySource(issuer=issuer, http=http)
    with pytest.raises(ValueError, match="https"):
        KeySource(issuer="https://login.example", jwks_url=issuer, http=http)


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
    assert ids_of(import_keys({"keys": [*useless, good]})) == ["good"]
    assert import_keys({"keys": useless}) == ()
    assert import_keys({"keys": {"kty": "EC"}}) == ()
    assert import_keys({}) == ()


@pytest.mark.parametrize(
    ("useless", "reason"),
    [
        ({"kty": "RSA", "n": int_to_base64(1 << 1023), "e": "AQAB"}, "a modulus of 1024 bits, not 2048 to 16384"),
        ({"kty": "RSA", "e": "AQAB"}, "n is missing"),
        ({"kty": "RSA", "n": "€", "e": "AQAB"}, "its numbers are not a public key"),
        ({"kty": "EC", "crv": "P-256", "x": "", "y": ""}, "its numbers are not a public key"),
        ({"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}, "its numbers are not a public key"),
        ({"kty": "EC", "crv": "P-256", "x": 5, "y": ""}, "x is not a string"),
        (jwk(ec_key("P-256"), use="enc"), "use or key_ops does not allow verification"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "kty is neither RSA nor EC"),
        (None, "not a JSON object"),
    ],
)
def test_the_reason_for_skipping_a_key_is_reported(useless: object, reason: str) -> None:
    logged: list[str] = []
    assert import_keys({"keys": [useless]}, logged.append) == ()
    assert [line.partition("ignored: ")[2] for line in logged] == [reason]


@contextlib.contextmanager
def trickling() -> Iterator[str]:
    """A server whose response arrives byte by byte and never ends; yields its URL."""
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
