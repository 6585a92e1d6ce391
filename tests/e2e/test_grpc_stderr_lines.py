"""The lines that unauthenticated clients can cause in gRPC's output to standard error."""

import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.attacks import http2
from tests.support import raw_http2
from tests.support.authority import Authority
from tests.support.metric_samples import total
from tests.support.server_process import ServerProcess, write_config

from tokend_server.rpc.server import SERVICE_NAME

LOOPBACK = "127.0.0.1"
TIMEOUT = 30

#: How many handshakes fail.
TIMES = 200

NO_TLS = [
    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    http2.PREFACE + http2.settings(),
    b"\x00" * 64,
    b"\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff",
    b"",
]

BROKEN_HTTP2 = [
    b"\x00" * 64,
    http2.PREFACE,
    http2.PREFACE + http2.settings() + http2.frame(http2.DATA, 0, 99, b"x"),
    http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0, b"x"),
    http2.PREFACE + http2.settings() + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, b"\xff"),
    http2.PREFACE + http2.settings() + 20 * http2.frame(http2.PING, 0, 0, bytes(8)),
]


MALFORMED_METADATA = [
    ("grpc-timeout", "-1S"),
    ("grpc-timeout", ""),
    ("grpc-encoding", "zstd"),
    ("grpc-previous-rpc-attempts", "x"),
    ("te", ""),
    ("x-bin", "!!!"),
]


@pytest.fixture(autouse=True)
def _without_grpc_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRPC_VERBOSITY", "GRPC_TRACE"):
        monkeypatch.delenv(name, raising=False)


@contextmanager
def tls_server(directory: Path, verbosity: str | None = None) -> Iterator[ServerProcess]:
    authority = Authority("clients.example.test")
    server = authority.server(LOOPBACK)
    for name, pem in (("crt", server.certificate), ("key", server.private_key), ("ca", authority.certificate)):
        (directory / f"tls.{name}").write_bytes(pem)
    names = {"tls_certificate_file": "crt", "tls_private_key_file": "key", "tls_client_ca_file": "ca"}
    settings = "".join(f'{name} = "{directory}/tls.{end}"\n' for name, end in names.items())
    policy = '[policy.all]\ncallers = ["*"]\npools = ["*"]\noperations = ["*"]\n'
    config = write_config(directory, policy, f'{settings}identify_by = ["mutual_tls"]\n')
    with ServerProcess(config, {"GRPC_VERBOSITY": verbosity} if verbosity else None, afresh=True) as running:
        yield running


def send(endpoint: str, octets: bytes) -> None:
    """Sends octets, closes the sending side, and waits for the server to end the connection."""
    host, _, port = endpoint.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), TIMEOUT) as connection:
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


def shake_hands(endpoint: str, context: ssl.SSLContext) -> None:
    host, _, port = endpoint.rpartition(":")
    with (
        suppress(OSError),
        socket.create_connection((host, int(port)), TIMEOUT) as connection,
        context.wrap_socket(connection) as secured,
    ):
        while secured.recv(65_536):
            pass


def refused_clients(directory: Path) -> Iterator[ssl.SSLContext]:
    """Clients that the server refuses: without a certificate, with one of another authority, without HTTP/2."""
    stranger = Authority("strangers.example.test").client(dns_names=["a"])
    (directory / "stranger.pem").write_bytes(stranger.certificate + stranger.private_key)
    for has_certificate, protocol in ((False, "h2"), (True, "h2"), (True, "http/1.1")):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        if has_certificate:
            context.load_cert_chain(directory / "stranger.pem")
        yield context


def lines_without_the_log(server: ServerProcess) -> list[str]:
    """Returns the lines on standard error that are not from the log."""
    return [line for line in server.output if not line.startswith("{")]


def handshakes(server: ServerProcess) -> float:
    with urllib.request.urlopen(f"{server.ops}/metrics", timeout=TIMEOUT) as page:
        return total(page.read().decode(), "tokend_tls_handshakes_total")


def test_unauthenticated_clients_cause_no_lines(tmp_path: Path) -> None:
    with tls_server(tmp_path) as server:
        for number in range(TIMES // 2):
            send(server.endpoint, NO_TLS[number % len(NO_TLS)])
        for context in refused_clients(tmp_path):
            for _ in range(TIMES // 6):
                shake_hands(server.endpoint, context)
        assert handshakes(server) > TIMES * 0.9
        assert server.stop() == 0
    assert lines_without_the_log(server) == []


def test_invalid_http2_causes_no_lines(tmp_path: Path) -> None:
    with ServerProcess(write_config(tmp_path), afresh=True) as server:
        for number in range(TIMES):
            send(server.endpoint, BROKEN_HTTP2[number % len(BROKEN_HTTP2)])
        assert server.stop() == 0
    assert lines_without_the_log(server) == []


def test_malformed_metadata_causes_no_lines(tmp_path: Path) -> None:
    path = f"/{SERVICE_NAME}/LookupDeveloperIdentity"
    with ServerProcess(write_config(tmp_path), afresh=True) as server:
        for _ in range(3):
            for field in MALFORMED_METADATA:
                assert raw_http2.call(server.endpoint, path, b"", [field]).fields[b"grpc-status"] == b"13"
        assert server.stop() == 0
    assert lines_without_the_log(server) == []


def test_grpc_verbosity_enables_the_lines(tmp_path: Path) -> None:
    with tls_server(tmp_path, "INFO") as server:
        send(server.endpoint, NO_TLS[0])
        assert server.stop() == 0
    assert "Handshake failed" in "".join(lines_without_the_log(server))
