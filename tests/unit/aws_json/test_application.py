"""The AWS JSON face over HTTP, with a scripted engine behind it."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.grpc_service import PATIENCE, POOL_ID
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, Signed, call, no_sts, presigned, service

from tokend_server.aws_json.application import AwsJsonApplication
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.model import Secret
from tokend_server.web.listener import BoundAddress, HttpListener

MOST = 4096

REQUEST = call(
    "GetOpenIdTokenForDeveloperIdentity", {"IdentityPoolId": POOL_ID, "Logins": {"login.example.test": "alice"}}
)

#: Signed at the same time, at which the clock of the service stands.
PRESIGNED = presigned(REQUEST.body, {name: REQUEST.header(name) for name in ("Content-Type", "X-Amz-Target")})


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@contextmanager
def serving(
    engine: ScriptedEngine,
    max_body_bytes: int = MOST,
    *,
    most_calls: int = 100,
    on_refusal: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """The face on a port of its own; HOST:PORT of it."""
    clock = FakeClock(now=REQUEST.signed_at)
    face = service({POOL_ID: engine}, SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, clock), clock)
    with closing(BoundAddress("test", "127.0.0.1:0")) as bound, ThreadPoolExecutor(4) as threads:
        application = AwsJsonApplication(
            face, no_sts(clock), threads, most_calls=most_calls, on_refusal=on_refusal, max_body_bytes=max_body_bytes
        )
        listener = HttpListener(bound, application).start()
        yield bound.address
        listener.stop()


@pytest.fixture
def address(engine: ScriptedEngine) -> Iterator[str]:
    with serving(engine) as running:
        yield running


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address}", trust_env=False, verify=False, timeout=PATIENCE) as client:
        yield client


@contextmanager
def begun_request(address: str, framing: str) -> Iterator[socket.socket]:
    """A connection on which the head of a request has been sent, whose client waits for leave to send the body."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        lines = [
            "POST / HTTP/1.1",
            *(f"{name}: {value}" for name, value in REQUEST.headers if name != "Content-Length"),
        ]
        head = "".join(f"{line}\r\n" for line in [*lines, framing, "expect: 100-continue", ""])
        connection.sendall(head.encode())
        yield connection


def send(http: httpx.Client, request: Signed, path: str = "/") -> httpx.Response:
    return http.request(request.method, path, headers=list(request.headers), content=request.body)


def test_a_signed_request_is_answered(http: httpx.Client) -> None:
    response = send(http, REQUEST)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-amz-json-1.1")
    assert response.headers["x-amzn-requestid"]
    assert response.json()["Token"] == "header.claims.signature"


def test_a_presigned_request_is_answered(http: httpx.Client) -> None:
    assert send(http, PRESIGNED, PRESIGNED.target).status_code == 200


@pytest.mark.parametrize("path", ["/x", "/.well-known/jwks.json", "/x?a=b", "/x/", "/%2f"])
def test_another_path_is_refused_in_awss_form(path: str, http: httpx.Client, engine: ScriptedEngine) -> None:
    response = send(http, REQUEST, path)
    assert (response.status_code, response.json()["__type"]) == (404, "UnknownOperationException")
    assert response.headers["x-amzn-errortype"] == "UnknownOperationException:"
    assert engine.asked == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PURGE"])
def test_another_method_is_refused_in_awss_form(method: str, http: httpx.Client) -> None:
    response = http.request(method, "/", headers=list(REQUEST.headers))
    assert (response.status_code, response.json()["__type"]) == (404, "UnknownOperationException")


def test_a_body_that_is_too_large_is_refused(http: httpx.Client) -> None:
    headers = [(name, value) for name, value in REQUEST.headers if name.lower() != "content-length"]
    for content in (b"x" * (MOST + 1), b"x" * (100 * MOST), iter([b"x" * MOST] * 100)):
        response = http.post("/", headers=headers, content=content)
        assert (response.status_code, response.json()["__type"]) == (413, "RequestEntityTooLargeException")
    assert send(http, REQUEST).status_code == 200


def test_the_size_is_checked_before_the_signature(engine: ScriptedEngine) -> None:
    most = len(REQUEST.body)
    with serving(engine, most) as address, httpx.Client(base_url=f"http://{address}", trust_env=False) as http:
        response = http.post("/", headers={"content-type": "application/x-amz-json-1.1"}, content=b"x" * (most + 1))
        assert response.status_code == 413
        assert response.json() == {
            "__type": "RequestEntityTooLargeException",
            "message": "The request body is too large.",
        }
        assert send(http, REQUEST).status_code == 200


def test_a_body_that_will_be_too_large_is_refused_before_it_is_sent(address: str) -> None:
    with begun_request(address, f"content-length: {MOST + 1}") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_no_more_than_the_largest_body_is_waited_for(address: str) -> None:
    with begun_request(address, "transfer-encoding: chunked") as connection:
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(f"{100 * MOST:x}\r\n".encode() + b"x" * (MOST + 1))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("request_line", "status"), [("POST / HTTP/9.9", 400), ("POST http://[ HTTP/1.1", 400), ("FETCH / HTTP/1.1", 400)]
)
def test_what_is_no_request_is_refused_in_awss_form(request_line: str, status: int, address: str) -> None:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(f"{request_line}\r\nhost: test\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["__type"] == "UnknownOperationException"


def test_a_client_that_leaves_early_is_no_defect(engine: ScriptedEngine, caplog: pytest.LogCaptureFixture) -> None:
    with serving(engine) as address, begun_request(address, f"content-length: {MOST}") as connection:
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"x")
    assert caplog.records == []
    assert engine.asked == []


def test_a_signed_header_that_changes_on_the_way_is_noticed(http: httpx.Client) -> None:
    response = send(http, REQUEST.with_header("host", "other.example.test"))
    assert (response.status_code, response.json()["__type"]) == (400, "InvalidSignatureException")


def test_a_call_that_waits_holds_up_no_other(http: httpx.Client, engine: ScriptedEngine) -> None:
    with ThreadPoolExecutor(2) as threads:
        with engine.holding() as hold:
            waiting = [threads.submit(send, http, REQUEST) for _ in range(2)]
            assert hold.entered.wait(PATIENCE)
            assert send(http, REQUEST, "/x").status_code == 404
            assert not any(each.done() for each in waiting)
        assert [each.result().status_code for each in waiting] == [200, 200]


def test_calls_above_the_most_are_throttled_as_aws_does_it(engine: ScriptedEngine) -> None:
    refusals: list[None] = []
    with (
        serving(engine, most_calls=1, on_refusal=lambda: refusals.append(None)) as address,
        httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=PATIENCE) as http,
        ThreadPoolExecutor(1) as threads,
    ):
        with engine.holding() as hold:
            waiting = threads.submit(send, http, REQUEST)
            assert hold.entered.wait(PATIENCE)
            refused = send(http, REQUEST)
            assert (refused.status_code, refused.json()["__type"]) == (400, "TooManyRequestsException")
            assert refused.json()["message"] == "Rate exceeded"
        assert waiting.result().status_code == 200
        assert send(http, REQUEST).status_code == 200
    assert len(refusals) == 1


def test_scripts_of_any_web_site_may_ask_and_read(http: httpx.Client) -> None:
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    preflight = http.options("/", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-methods"] == "POST"
    allowed = preflight.headers["access-control-allow-headers"].lower().split(",")
    assert {name.lower() for name, _ in REQUEST.headers} - {"host", "content-length"} <= set(allowed)
    for path, status in (("/", 200), ("/x", 404)):
        response = send(http, REQUEST, path)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "*"
        assert "x-amzn-RequestId" in response.headers["access-control-expose-headers"]
