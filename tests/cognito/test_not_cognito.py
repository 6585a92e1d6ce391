"""An upstream that is not Cognito is a configuration error: reported as such, not retried, visible in readiness."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from tests.cognito.running_service import COGNITO_POOL, LOCAL_POOL, METHODS, RunningService, Services, retry_delay_of
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_script import Answer, AwsFailure, Body, NoHttp, Step, Success
from tests.fakes.cognito_upstream import CognitoUpstream
from tests.fakes.http_connections import Listener
from tests.support.certificates import write_certificate
from tests.support.grpc_service import Failure

from tokend_server.engines.cognito.lasting_errors import LASTING_ERROR_SECONDS

BACKEND = f"cognito {COGNITO_POOL.partition(':')[0]}"

_HTML = b"<!DOCTYPE html><html><body>Welcome to our network. Please sign in.</body></html>"
_XML = b"<?xml version='1.0'?><ErrorResponse><Error><Code>InvalidAction</Code></Error></ErrorResponse>"
_JSON = b'{"timestamp":"2026-01-01T00:00:00Z","status":404,"error":"Not Found","path":"/"}'

#: The kinds of upstreams, and their responses.
OTHER_SERVERS: dict[str, Step] = {
    "a captive portal": Body(_HTML, 200, "text/html"),
    "a captive portal of RFC 6585": Body(_HTML, 511, "text/html"),
    "a web site": Body(_HTML, 404, "text/html"),
    "a web site that rejects POST": Body(b"", 405),
    "a web site that requires authentication": Body(b"", 401),
    "a proxy that requires authentication": Body(b"", 407),
    "a web application": Body(_JSON, 404, "application/json"),
    "a redirect": Body(b"", 301),
    "a redirect after a POST": Body(b"", 303),
    "a redirect that keeps the method": Body(_HTML, 307, "text/html"),
    "an S3 bucket": Body(_XML, 405, "application/xml"),
    "a health check": Body(b"OK", 200, "text/plain"),
    "an empty answer": Body(b"", 200),
    "no content": Body(b"", 204),
    "another API": Body(b'{"data": {"Token": 1}}', 200, "application/json"),
    "no HTTP": NoHttp(b"220 mail.example ESMTP\r\n"),
    "a server that requires TLS": NoHttp(b"\x15\x03\x01\x00\x02\x02\x46"),
    "Redis": NoHttp(b"-ERR unknown command 'POST'\r\n"),
    "AWS in another region": AwsFailure(
        "InvalidSignatureException", "Credential should be scoped to a valid region, not 'us-east-1'. "
    ),
    "another service of AWS": AwsFailure(
        "InvalidSignatureException", "Credential should be scoped to correct service: 'kms'. "
    ),
}

#: Responses that are not Cognito's either, but may be temporary.
TRANSIENT_RESPONSES: dict[str, Answer] = {
    "a proxy without a backend": Body(_HTML, 502, "text/html"),
    "a proxy of a backend that is too slow": Body(_HTML, 504, "text/html"),
    "maintenance": Body(_HTML, 503, "text/html"),
    "a proxy that waited for the request": Body(b"", 408),
    "a proxy that rejects large requests": Body(_HTML, 413, "text/html"),
    "AWS, with a new error": AwsFailure("SomethingNewException"),
}


def assert_lasting(failed: Failure) -> None:
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert retry_delay_of(failed) is None
    assert failed.trailers["grpc-retry-pushback-ms"] == "-1"


def assert_not_ready(service: RunningService, *words: str) -> None:
    status, text = service.readyz()
    assert status == 503
    assert text.startswith(f"{BACKEND}: ")
    assert len(text.splitlines()) == 1
    assert all(word in text for word in words)


@pytest.mark.parametrize("other", OTHER_SERVERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_response_that_is_not_from_cognito_is_a_configuration_error(
    other: str, method: str, services: Services, upstream: CognitoUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    service = services.start(upstream.url, max_attempts=3)
    upstream.always(OTHER_SERVERS[other])
    assert_lasting(service.refused(method))
    assert len(upstream.requests) == 1
    assert_not_ready(service, "endpoint")
    assert service.metric("tokend_cognito_credentials_rejected") == 0
    (record,) = [record for record in caplog.records if record.message == "call failed"]
    assert "cognito.endpoint_url" in vars(record)["advice"]


@pytest.mark.parametrize("passing", TRANSIENT_RESPONSES)
def test_transient_failures_are_not_configuration_errors(
    passing: str, services: Services, upstream: CognitoUpstream
) -> None:
    service = services.start(upstream.url, max_attempts=1)
    upstream.always(TRANSIENT_RESPONSES[passing])
    failed = service.refused()
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert retry_delay_of(failed) == 1.0
    assert service.readyz() == (200, "ok\n")


def test_the_lasting_error_ends_with_the_first_response_of_cognito(
    services: Services, upstream: CognitoUpstream
) -> None:
    service = services.start(upstream.url)
    upstream.always(OTHER_SERVERS["a captive portal"])
    assert_lasting(service.refused())
    assert_not_ready(service)
    upstream.always(Success())
    assert service.get_token().token
    assert service.readyz() == (200, "ok\n")


def test_the_lasting_error_expires_since_an_unready_service_gets_no_calls(
    services: Services, upstream: CognitoUpstream
) -> None:
    clock = FakeClock()
    service = services.start(upstream.url, clock)
    upstream.always(OTHER_SERVERS["a captive portal"])
    assert_lasting(service.refused())
    assert_not_ready(service)
    clock.advance(LASTING_ERROR_SECONDS)
    assert service.readyz() == (200, "ok\n")


def test_a_service_with_a_pool_that_works_stays_ready_and_names_the_problem(
    services: Services, upstream: CognitoUpstream
) -> None:
    service = services.start(upstream.url, beside_local=True)
    upstream.always(OTHER_SERVERS["a web site"])
    assert_lasting(service.refused())
    status, text = service.readyz()
    assert status == 200
    assert text.splitlines()[1].startswith(f"{BACKEND}: Cognito's response cannot be parsed.")
    assert service.get_token("bob", LOCAL_POOL).token


def test_an_html_response_after_a_recent_success_is_transient(services: Services, upstream: CognitoUpstream) -> None:
    clock = FakeClock()
    service = services.start(upstream.url, clock)
    assert service.get_token().token
    upstream.always(Body(_HTML, 403, "text/html"))  # from a filtering proxy for a blocked user
    assert_lasting(service.refused())
    assert service.readyz() == (200, "ok\n")
    clock.advance(LASTING_ERROR_SECONDS)
    assert_lasting(service.refused())
    assert_not_ready(service)


@contextmanager
def tls_server(context: ssl.SSLContext | None) -> Iterator[tuple[str, list[None]]]:
    """A server that ends each connection after the handshake; without a context, it does not use TLS."""
    seen: list[None] = []

    def serve(connection: socket.socket, _number: int) -> None:
        seen.append(None)
        with suppress(OSError):
            if context:
                context.wrap_socket(connection, server_side=True).close()
            else:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    listener = Listener(serve)
    listener.start()
    try:
        yield f"https://127.0.0.1:{listener.port}", seen
    finally:
        listener.stop()


def tls_of_another_authority(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = write_certificate(directory)
    context.load_cert_chain(certificate.certificate_file, certificate.private_key_file)
    return context


@pytest.mark.parametrize("speaks_tls", [True, False], ids=["another's certificate", "no TLS"])
def test_a_tls_failure_is_not_retried(
    services: Services, tmp_path: Path, *, speaks_tls: bool, aws_environment: pytest.MonkeyPatch
) -> None:
    aws_environment.delenv("AWS_CA_BUNDLE", raising=False)
    with tls_server(tls_of_another_authority(tmp_path) if speaks_tls else None) as (url, seen):
        service = services.start(url, max_attempts=3)
        assert_lasting(service.refused())
        assert len(seen) == 1
        assert_not_ready(service, "certificate", "TLS")


def test_a_connection_that_ends_after_the_tls_handshake_is_retried(
    services: Services, tmp_path: Path, aws_environment: pytest.MonkeyPatch
) -> None:
    context = tls_of_another_authority(tmp_path)
    aws_environment.setenv("AWS_CA_BUNDLE", str(tmp_path / "tls.crt"))
    with tls_server(context) as (url, seen):
        service = services.start(url, max_attempts=2)
        failed = service.refused()
        assert retry_delay_of(failed) == 1.0
        assert len(seen) == 2
        assert service.readyz() == (200, "ok\n")
