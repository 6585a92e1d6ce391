"""The AWS JSON API over HTTP, with a scripted engine."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import httpx
import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.grpc_service import POOL_ID, TIMEOUT
from tests.unit.aws_json.requests import HOST, KEY_ID, SECRET_KEY, Signed, no_sts, service
from tests.unit.aws_json.serving import MAX_BODY_BYTES, PRESIGNED, REQUEST, send_raw, serving

from tokend_server.aws_json.application import AwsJsonApplication
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.model import Secret
from tokend_server.web.message import Request, Response

FORM = "content-type: application/x-www-form-urlencoded"


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def address(engine: ScriptedEngine) -> Iterator[str]:
    with serving(engine) as running:
        yield running


@pytest.fixture
def http(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{address}", trust_env=False, verify=False, timeout=TIMEOUT) as client:
        yield client


@contextmanager
def begun_request(address: str, framing: str) -> Iterator[socket.socket]:
    """A connection with the head of a request, whose client waits for 100 Continue to send the body."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
        lines = [
            "POST / HTTP/1.1",
            *(f"{name}: {value}" for name, value in REQUEST.headers if name != "Content-Length"),
        ]
        head = "".join(f"{line}\r\n" for line in [*lines, framing, "expect: 100-continue", ""])
        connection.sendall(head.encode())
        yield connection


def error_in_xml(body: bytes) -> dict[str, str]:
    error = ET.fromstring(body).find("{*}Error")
    assert error is not None
    return {part.tag.rpartition("}")[2]: part.text or "" for part in error}


def as_bytes(request: Signed, target: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers)]
    framed = [
        *(line for line in lines if not line.startswith("Content-Length")),
        f"Content-Length: {len(request.body)}",
    ]
    return "".join(f"{line}\r\n" for line in [*framed, ""]).encode() + request.body


def send(http: httpx.Client, request: Signed, path: str = "/") -> httpx.Response:
    return http.request(request.method, path, headers=list(request.headers), content=request.body)


def test_a_signed_request_is_answered(http: httpx.Client) -> None:
    response = send(http, REQUEST)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-amz-json-1.1")
    assert response.headers["x-amzn-requestid"]
    assert response.json()["Token"] == "header.claims.signature"


def test_a_presigned_request_is_answered(http: httpx.Client) -> None:
    assert send(http, PRESIGNED, PRESIGNED.target).status_code == 200


@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
@pytest.mark.parametrize(
    ("request_", "target"),
    [(REQUEST, f"//{HOST}/"), (REQUEST, f"//{HOST}"), (PRESIGNED, f"//{HOST}:443{PRESIGNED.target}")],
)
def test_a_request_target_in_absolute_form_is_accepted(
    scheme: str, request_: Signed, target: str, address: str
) -> None:
    response = send_raw(address, as_bytes(request_, f"{scheme}:{target}"))
    assert (response.status, json.loads(response.read())["Token"]) == (200, "header.claims.signature")


@pytest.mark.parametrize("path", ["/x", "/.well-known/jwks.json", "/x?a=b", "/x/", "/%2f"])
def test_another_path_is_rejected_in_the_aws_format(path: str, http: httpx.Client, engine: ScriptedEngine) -> None:
    response = send(http, REQUEST, path)
    assert (response.status_code, response.json()["__type"]) == (404, "UnknownOperationException")
    assert response.headers["x-amzn-errortype"] == "UnknownOperationException:"
    assert engine.asked == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PURGE"])
def test_another_method_is_rejected_in_the_aws_format(method: str, http: httpx.Client) -> None:
    response = http.request(method, "/", headers=list(REQUEST.headers))
    assert (response.status_code, response.json()["__type"]) == (404, "UnknownOperationException")


def test_a_body_that_is_too_large_is_refused(http: httpx.Client) -> None:
    headers = [(name, value) for name, value in REQUEST.headers if name.lower() != "content-length"]
    for content in (b"x" * (MAX_BODY_BYTES + 1), b"x" * (100 * MAX_BODY_BYTES), iter([b"x" * MAX_BODY_BYTES] * 100)):
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
    with begun_request(address, f"content-length: {MAX_BODY_BYTES + 1}") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_above_the_limit_is_refused_before_its_end(address: str) -> None:
    with begun_request(address, "transfer-encoding: chunked") as connection:
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(f"{100 * MAX_BODY_BYTES:x}\r\n".encode() + b"x" * (MAX_BODY_BYTES + 1))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("head", "status", "text"),
    [
        ("POST / HTTP/9.9\r\nhost: test", 400, "The request is not a valid HTTP/1.1 request."),
        ("POST http://[ HTTP/1.1\r\nhost: test", 400, "The request is not a valid HTTP/1.1 request."),
        ("FETCH / HTTP/1.1\r\nhost: test", 400, "The request is not a valid HTTP/1.1 request."),
        (f"POST / HTTP/1.1\r\nhost: test\r\na: {'x' * 20_000}", 431, "The request line and the headers are too large."),
        (
            "POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: gzip, chunked",
            501,
            "A transfer coding must be 'chunked'.",
        ),
    ],
)
def test_invalid_http_is_rejected_in_the_aws_format(head: str, status: int, text: str, address: str) -> None:
    found = send_raw(address, f"{head}\r\n\r\n")
    assert found.status == status
    assert found.headers["x-amzn-errortype"] == "MalformedHttpRequestException:"
    assert json.loads(found.read()) == {"__type": "MalformedHttpRequestException", "message": text}


@pytest.mark.parametrize(
    ("request_line", "headers", "status", "code"),
    [
        ("POST /", [FORM, f"content-length: {MAX_BODY_BYTES + 1}"], 413, "RequestEntityTooLargeException"),
        ("POST /", [FORM, "content-length: 0"], 400, "MissingAction"),
        ("POST /x", [FORM, "content-length: 0"], 404, "UnknownOperationException"),
        ("PUT /", [FORM, "content-length: 0"], 404, "UnknownOperationException"),
        ("GET /x?Action=AssumeRoleWithWebIdentity", [], 404, "UnknownOperationException"),
        ("GET http://test/x?Action=AssumeRoleWithWebIdentity", [], 404, "UnknownOperationException"),
        ("GET http://test?Action=AssumeRoleWithWebIdentity", [], 400, "InvalidAction"),
        ("GET /?Action=AssumeRoleWithWebIdentity", ["host: b"], 400, "MalformedHttpRequestException"),
        ("GET /?Action=AssumeRoleWithWebIdentity", [f"a: {'x' * 20_000}"], 431, "MalformedHttpRequestException"),
        ("POST /", [FORM, "transfer-encoding: gzip, chunked"], 501, "MalformedHttpRequestException"),
    ],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_invalid_sts_requests_are_refused_in_the_format_of_sts(  # noqa: PLR0913 - a request and its answer
    request_line: str, headers: Sequence[str], status: int, code: str, address: str, *, is_json: bool
) -> None:
    lines = [f"{request_line} HTTP/1.1", *(["accept: application/json"] if is_json else []), "host: test", *headers]
    found = send_raw(address, "".join(f"{line}\r\n" for line in [*lines, ""]))
    assert (found.status, found.headers["content-type"]) == (status, "application/json" if is_json else "text/xml")
    body = found.read()
    error = json.loads(body)["Error"] if is_json else error_in_xml(body)
    kind = "Sender" if status < 500 else "Receiver"
    assert (error["Type"], error["Code"], bool(error["Message"])) == (kind, code, True)
    assert found.headers["access-control-allow-origin"] == "*"


def test_a_token_too_long_for_a_target_is_refused_in_the_format_of_sts(address: str) -> None:
    target = f"/?Action=AssumeRoleWithWebIdentity&WebIdentityToken={'x' * 20_000}"
    found = send_raw(address, f"GET {target} HTTP/1.1\r\nhost: test\r\n\r\n")
    assert (found.status, error_in_xml(found.read())["Code"]) == (431, "MalformedHttpRequestException")


def test_sts_requests_are_throttled_in_the_format_of_sts(engine: ScriptedEngine) -> None:
    with serving(engine, max_calls=0) as address:
        found = send_raw(address, f"POST / HTTP/1.1\r\nhost: test\r\n{FORM}\r\ncontent-length: 0\r\n\r\n")
        assert (found.status, error_in_xml(found.read())["Code"]) == (400, "Throttling")


@pytest.mark.parametrize("form", ["content-type: application/x-amz-json-1.1", FORM])
def test_an_internal_failure_is_reported_in_the_format_of_the_request(
    form: str, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor() as threads:
        threads.shutdown()
        with serving(engine, threads=threads) as address:
            found = send_raw(address, f"POST / HTTP/1.1\r\nhost: test\r\n{form}\r\ncontent-length: 0\r\n\r\n")
    assert found.status == 500
    body = found.read()
    code = error_in_xml(body)["Code"] if form == FORM else json.loads(body)["__type"]
    assert code == ("InternalFailure" if form == FORM else "InternalErrorException")
    assert [record.message for record in caplog.records] == ["request failed"]


def test_a_client_that_disconnects_early_causes_no_log_record(
    engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(engine) as address, begun_request(address, f"content-length: {MAX_BODY_BYTES}") as connection:
        assert connection.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"x")
    assert caplog.records == []
    assert engine.asked == []


def test_a_changed_signed_header_is_rejected(http: httpx.Client) -> None:
    response = send(http, REQUEST.with_header("host", "other.example.test"))
    assert (response.status_code, response.json()["__type"]) == (400, "InvalidSignatureException")


def test_a_waiting_call_does_not_block_others(http: httpx.Client, engine: ScriptedEngine) -> None:
    with ThreadPoolExecutor(2) as threads:
        with engine.holding() as hold:
            waiting = [threads.submit(send, http, REQUEST) for _ in range(2)]
            assert hold.entered.wait(TIMEOUT)
            assert send(http, REQUEST, "/x").status_code == 404
            assert not any(each.done() for each in waiting)
        assert [each.result().status_code for each in waiting] == [200, 200]


def test_calls_above_the_concurrency_limit_are_throttled_as_by_aws(engine: ScriptedEngine) -> None:
    refusals: list[None] = []
    with (
        serving(engine, max_calls=1, on_refusal=lambda: refusals.append(None)) as address,
        httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=TIMEOUT) as http,
        ThreadPoolExecutor(1) as threads,
    ):
        with engine.holding() as hold:
            waiting = threads.submit(send, http, REQUEST)
            assert hold.entered.wait(TIMEOUT)
            refused = send(http, REQUEST)
            assert (refused.status_code, refused.json()["__type"]) == (400, "TooManyRequestsException")
            assert refused.json()["message"] == "Rate exceeded"
        assert waiting.result().status_code == 200
        assert send(http, REQUEST).status_code == 200
    assert len(refusals) == 1


@pytest.mark.parametrize(("seconds", "code"), [(59.0, "OK"), (61.0, "InternalErrorException")])
def test_waiting_for_a_thread_counts_toward_the_timeout_of_a_call(
    seconds: float, code: str, engine: ScriptedEngine
) -> None:
    """A client's timeout is sixty seconds in total; after that, no work is done for it."""
    clock = FakeClock(now=REQUEST.signed_at)
    counted: list[tuple[str, str, float]] = []
    verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, clock)
    calls = service({POOL_ID: engine}, verifier, clock, lambda *call: counted.append(call))
    headers = {name.lower().encode(): value.encode() for name, value in REQUEST.headers}
    request = Request("/", headers, REQUEST.method, REQUEST.target, REQUEST.body, "192.0.2.1")

    async def asked() -> Response:
        free = threading.Event()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(free.wait, TIMEOUT)
            application = AwsJsonApplication(calls, no_sts(clock), threads, max_calls=1, on_refusal=lambda: None)
            answer = application.respond(request)
            assert isinstance(answer, asyncio.Future)
            clock.advance(seconds)
            free.set()
            return await answer

    answer = asyncio.run(asked())
    assert counted == [("GetOpenIdTokenForDeveloperIdentity", code, seconds)]
    assert bool(engine.asked) is (code == "OK") is answer.head.startswith(b"HTTP/1.1 200 ")


def test_cors_allows_requests_from_any_origin(http: httpx.Client) -> None:
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
