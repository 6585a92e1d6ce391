"""TLS on HTTP listeners: certificates, client certificates, and clients without a handshake."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from tests.support.authority import Authority
from tests.support.certificates import Certificate, write_certificate
from tests.support.grpc_service import TIMEOUT
from tests.web.raw_client import GET_PAGE, connected, is_gone, read_to_end

from tokend_server.tls_files import TlsFiles, TlsGauges
from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.message import Request, Response, plain_text
from tokend_server.web.tls import reloaded_context

BODY = "x" * 3_000_000


class Page:
    """Responds to every request, and accepts bodies."""

    methods: frozenset[str] | None = None
    max_body_bytes = 100_000

    def respond(self, request: Request) -> Response:
        return plain_text(BODY if request.method == "GET" else request.body.decode())

    def refuse(self, status: HTTPStatus, _request: Request) -> Response:
        return plain_text("refused", status)


class Seen:
    """The values of the gauges."""

    def __init__(self) -> None:
        self.expires_at: list[float] = []
        self.stale: list[float] = []
        self.handshakes = 0

    def handshake(self) -> None:
        self.handshakes += 1

    @property
    def gauges(self) -> TlsGauges:
        return TlsGauges(self.expires_at.append, self.stale.append, self.handshake)


Start = Callable[..., str]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return write_certificate(tmp_path, "127.0.0.1")


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def start(certificate: Certificate, seen: Seen) -> Iterator[Start]:
    """Starts listeners, and returns the HOST:PORT of each."""
    with ExitStack() as running:

        def begin(client_ca: Path | None = None, max_connections: int = 8, timeout: float = TIMEOUT) -> str:
            files = TlsFiles(certificate.certificate_file, certificate.private_key_file, client_ca)
            bound = running.enter_context(closing(BoundAddress("test", "127.0.0.1:0")))
            tls = reloaded_context(files, bound.address, seen.gauges)
            listener = HttpListener(bound, Page(), timeout=timeout, max_connections=max_connections, tls=tls)
            running.callback(listener.start().stop)
            return bound.address

        yield begin


def trusting(certificate: Certificate, own: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate.certificate_file)
    if own:
        context.load_cert_chain(own.certificate_file, own.private_key_file)
    return context


def client_of(address: str, context: ssl.SSLContext) -> httpx.Client:
    return httpx.Client(base_url=f"https://{address}", verify=context, trust_env=False, timeout=TIMEOUT)


def test_requests_are_answered_on_a_connection_that_lasts(start: Start, certificate: Certificate, seen: Seen) -> None:
    with client_of(start(), trusting(certificate)) as client:
        for _ in range(3):
            assert client.get("/").text == BODY
            assert client.post("/", content=b"hello").text == "hello"
    assert seen.handshakes == 1
    assert seen.stale == [0]


def test_an_answer_is_whole_where_the_connection_ends_with_it(start: Start, certificate: Certificate) -> None:
    with client_of(start(), trusting(certificate)) as client:
        answer = client.get("/", headers={"connection": "close"})
        assert (answer.status_code, answer.text) == (200, BODY)
        refused = client.post("/", content=b"x" * 100_001)
        assert refused.status_code == 413


def test_the_minimum_version_is_tls_1_2(certificate: Certificate, seen: Seen) -> None:
    files = TlsFiles(certificate.certificate_file, certificate.private_key_file)
    context = reloaded_context(files, "test", seen.gauges).for_handshake()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_client_without_a_certificate_is_refused_where_one_is_demanded(
    start: Start, certificate: Certificate, tmp_path: Path
) -> None:
    authority = Authority("clients")
    own = authority.client(dns_names=["client.example.test"])
    files = {"ca": authority.certificate, "crt": own.certificate, "key": own.private_key}
    for name, content in files.items():
        (tmp_path / f"client.{name}").write_bytes(content)
    address = start(client_ca=tmp_path / "client.ca")
    with client_of(address, trusting(certificate)) as stranger, pytest.raises(httpx.TransportError):
        stranger.get("/")
    identified = trusting(certificate, Certificate(tmp_path / "client.crt", tmp_path / "client.key"))
    with client_of(address, identified) as known:
        assert known.get("/").text == BODY


def test_new_files_serve_new_connections_and_bad_ones_do_not(
    start: Start, certificate: Certificate, seen: Seen, tmp_path: Path
) -> None:
    address = start()
    (tmp_path / "other").mkdir()
    other = write_certificate(tmp_path / "other", "127.0.0.1")
    before = trusting(certificate)
    certificate.certificate_file.write_bytes(b"no certificate")
    with client_of(address, before) as client:
        assert client.get("/").text == BODY
    assert seen.stale[-1] == 1
    certificate.private_key_file.write_bytes(other.private_key_file.read_bytes())
    certificate.certificate_file.write_bytes(other.certificate_file.read_bytes())
    with client_of(address, trusting(other)) as client:
        assert client.get("/").text == BODY
    assert seen.stale[-1] == 0
    with client_of(address, before) as client, pytest.raises(httpx.ConnectError):
        client.get("/")


def test_connections_without_a_handshake_are_closed_for_new_ones(start: Start, certificate: Certificate) -> None:
    address = start(max_connections=2)
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(address)) for _ in range(3)]
        assert is_gone(silent[0])
        with client_of(address, trusting(certificate)) as client:
            assert client.get("/").text == BODY


def test_a_plaintext_client_is_disconnected_without_a_log_line(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with connected(start()) as client:
        client.sendall(GET_PAGE)
        read_to_end(client)
    assert [record for record in caplog.records if record.name.startswith("tokend")] == []
