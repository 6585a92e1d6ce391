"""The allowed targets of requests to issuers, and what these requests contain."""

import contextlib
import gzip
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import JWKS_PATH, OidcProvider
from tests.unit.oidc.guarded_provider import GuardedProvider

from tokend_server.clock import Deadline, SystemClock
from tokend_server.hosts import is_internal
from tokend_server.oidc.documents import KeySource, fetch_keys
from tokend_server.oidc.outbound import Document, FetchFailed, IssuerHttp

INTERNAL = [
    "127.0.0.1",
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.168.1.1",
    "224.0.0.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "fd00:ec2::254",
    "fe80::1",
]


@pytest.mark.parametrize("address", INTERNAL)
def test_internal_addresses_are_recognized_in_every_form(address: str) -> None:
    assert is_internal(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1"])
def test_public_addresses_are_not_internal(address: str) -> None:
    assert not is_internal(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0"])
@pytest.mark.parametrize("environment", [{}, {"HTTPS_PROXY": "http://127.0.0.1:9"}], ids=["direct", "by a proxy"])
def test_requests_to_internal_addresses_are_refused(host: str, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"https://{host}:{listener.getsockname()[1]}/jwks"
        with pytest.raises(FetchFailed, match="internal address"):
            IssuerHttp(environment=environment).get(url, {}, Deadline(FakeClock()), allow_internal=False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_host_name_that_resolves_to_an_internal_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_arguments, **_options: found)
    with pytest.raises(FetchFailed, match="internal address"):
        IssuerHttp(environment={}).get("https://keys.example", {}, Deadline(FakeClock()), allow_internal=False)


class PublicIssuer(IssuerHttp):
    """An issuer at a public address, whose discovery document contains other addresses."""

    def __init__(self, jwks_uri: str) -> None:
        super().__init__(environment={})
        self.jwks_uri = jwks_uri

    def get(self, url: str, *arguments: object, **options: object) -> Document:
        if url == "https://issuer.example/.well-known/openid-configuration":
            document = {"issuer": "https://issuer.example", "jwks_uri": self.jwks_uri}
            return Document(json.dumps(document).encode(), from_internal=False)
        return super().get(url, *arguments, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("jwks_uri", "reason"),
    [
        ("https://127.0.0.1:9/jwks", "internal address"),
        ("https://169.254.169.254/latest/meta-data", "internal address"),
        ("http://127.0.0.1:9/jwks", "must be https"),
    ],
)
def test_an_internal_jwks_uri_of_a_public_issuer_is_refused(jwks_uri: str, reason: str) -> None:
    source = KeySource(issuer="https://issuer.example", http=PublicIssuer(jwks_uri))
    with pytest.raises(FetchFailed, match=reason):
        fetch_keys(source, Deadline(FakeClock()))


def test_the_bearer_token_is_not_shown_to_another_origin(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-this-pod")
    (tmp_path / "other").mkdir()
    with OidcProvider() as named, GuardedProvider(OidcProvider(), tmp_path / "other") as other:
        both = IssuerHttp(other.ca_file)
        named.jwks_uri = f"{other.issuer}{JWKS_PATH}"
        source = KeySource(issuer=named.issuer, http=both, bearer_token_file=tmp_path / "token")
        assert [key.kid for key in fetch_keys(source, Deadline(FakeClock()))] == ["1"]
        assert other.shown == [(JWKS_PATH, None)]
        other.token = "demanded"
        with pytest.raises(FetchFailed, match="set jwks_url"):
            fetch_keys(source, Deadline(FakeClock()))


def test_compressed_documents_are_read_within_the_bound() -> None:
    good = gzip.compress(b'{"keys": []}')
    bomb = gzip.compress(b" " * (64 << 20))
    with serving(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", good) as url:
        assert IssuerHttp().get(url, {}, Deadline(FakeClock())).body == b'{"keys": []}'
    with (
        serving(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n", bomb) as url,
        pytest.raises(FetchFailed, match="large"),
    ):
        IssuerHttp().get(url, {}, Deadline(FakeClock()))


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n"])
def test_a_document_may_have_a_mebibyte_and_no_octet_more(head: bytes) -> None:
    encoded = gzip.compress if b"gzip" in head else bytes
    longest = b" " * (1 << 20)
    with serving(head, encoded(longest)) as url:
        assert IssuerHttp().get(url, {}, Deadline(FakeClock())).body == longest
    with serving(head, encoded(longest + b" ")) as url, pytest.raises(FetchFailed, match="large"):
        IssuerHttp().get(url, {}, Deadline(FakeClock()))


@pytest.mark.parametrize(
    "provisional",
    [b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n" * 2],
    ids=["102", "103"],
)
def test_informational_responses_are_skipped(provisional: bytes) -> None:
    with serving(provisional + b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", b"{}") as url:
        document = IssuerHttp().get(url, {}, Deadline(FakeClock()))
    assert (document.body, document.media_type) == (b"{}", "application/json")


def test_endless_informational_responses_time_out() -> None:
    clock = SystemClock()
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    with serving(early, trickle=early) as url, pytest.raises(FetchFailed, match=r"too long|ReadTimeoutError"):
        IssuerHttp().get(url, {}, Deadline(clock, clock.monotonic() + 0.3))


def test_slow_headers_time_out() -> None:
    clock = SystemClock()
    given_up = pytest.raises(FetchFailed, match=r"too long|ReadTimeoutError")
    with serving(b"HTTP/1.1 200 OK\r\n", trickle=b"x: y\r\n") as url, given_up:
        IssuerHttp().get(url, {}, Deadline(clock, clock.monotonic() + 0.3))


@contextlib.contextmanager
def serving(head: bytes, body: bytes = b"", trickle: bytes = b"") -> Iterator[str]:
    """A server with one response, which may never end; yields its URL."""
    stopped = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):
            connection.recv(65536)
            connection.sendall(head + body)
            while trickle and not stopped.wait(0.01):
                connection.sendall(trickle)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as server:
        served = server.submit(serve)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
        served.result()


def test_a_socket_is_closed_where_no_time_is_left_to_connect_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, made = FakeClock(), list[socket.socket]()

    class Noted(socket.socket):
        def __init__(self, family: int, kind: int, protocol: int) -> None:
            super().__init__(family, kind, protocol)
            made.append(self)

    def slow_look_up(_host: str, port: int, **_options: object) -> list[object]:
        clock.advance(2)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "socket", Noted)
    monkeypatch.setattr(socket, "getaddrinfo", slow_look_up)
    with pytest.raises(FetchFailed):
        IssuerHttp().get("http://127.0.0.1:1/", {}, Deadline(clock, clock.monotonic() + 1))
    assert [each.fileno() for each in made] == [-1]
