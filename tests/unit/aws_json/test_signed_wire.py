"""Signed requests as bytes: framing and headers as changed by proxies and unusual clients."""

import json
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPResponse

import pytest
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.grpc_service import POOL_ID
from tests.unit.aws_json.requests import Signed, call, signed
from tests.unit.aws_json.serving import MAX_BODY_BYTES, send_raw, serving

OPERATION = "GetOpenIdTokenForDeveloperIdentity"
DOCUMENT = {"IdentityPoolId": POOL_ID, "Logins": {"login.example.test": "alice"}}
MALFORMED, INVALID, INCOMPLETE = (
    "MalformedHttpRequestException",
    "InvalidSignatureException",
    "IncompleteSignatureException",
)
CHUNKED = "Transfer-Encoding: chunked"


def lines_of(request: Signed, *more: str, without: Iterable[str] = ()) -> list[str]:
    """Returns the lines of a request's headers."""
    kept = (each for each in request.headers if each[0].lower() not in {"content-length", *without})
    return [*(f"{name}: {value}" for name, value in kept), *more]


def sent(request: Signed, lines: Iterable[str], body: bytes) -> HTTPResponse:
    head = "".join(f"{line}\r\n" for line in [f"POST {request.target} HTTP/1.1", *lines, ""])
    with serving(ScriptedEngine(), now=request.signed_at) as address:
        return send_raw(address, head.encode() + body)


def outcome(response: HTTPResponse) -> tuple[int, str]:
    """Returns the status and the code, which is empty for a success."""
    return response.status, json.loads(response.read()).get("__type", "")


def in_chunks(body: bytes, size: int, extension: str = "", trailers: Iterable[str] = ()) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(f"{len(piece):x}{extension}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return framed + b"0\r\n" + "".join(f"{line}\r\n" for line in [*trailers, ""]).encode()


@pytest.mark.parametrize("size", [1, 7, MAX_BODY_BYTES])
def test_a_chunked_body_is_verified_against_the_signature(size: int) -> None:
    request = call(OPERATION, DOCUMENT)
    body = in_chunks(request.body, size, ";name=value")
    assert outcome(sent(request, lines_of(request, CHUNKED), body)) == (200, "")
    changed = in_chunks(request.body + b" ", size)
    assert outcome(sent(request, lines_of(request, CHUNKED), changed)) == (400, INVALID)


def test_trailers_of_a_chunked_body_are_ignored() -> None:
    request = call(OPERATION, DOCUMENT)
    trailers = ["X-Amz-Target: AWSCognitoIdentityService.Other", "Authorization: none", "X-Amz-Extra: 1"]
    body = in_chunks(request.body, MAX_BODY_BYTES, trailers=trailers)
    assert outcome(sent(request, lines_of(request, CHUNKED), body)) == (200, "")


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ((CHUNKED, "Content-Length: 2"), b"2\r\n{}\r\n0\r\n\r\n"),
        (("Content-Length: 2", "Content-Length: 3"), b"{}x"),
        ((CHUNKED,), b"zz\r\n{}\r\n0\r\n\r\n"),
        ((CHUNKED,), b"2\r\n{}x\r\n0\r\n\r\n"),
        ((CHUNKED, CHUNKED), b"2\r\n{}\r\n0\r\n\r\n"),
    ],
)
def test_ambiguous_or_invalid_body_framing_is_refused(framing: Iterable[str], body: bytes) -> None:
    request = call(OPERATION, {})
    status, code = outcome(sent(request, lines_of(request, *framing), body))
    assert (status in {400, 501}, code) == (True, MALFORMED)


@pytest.mark.parametrize(
    "hash_of_the_body",
    ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"],
)
@pytest.mark.parametrize("coding", ["", "aws-chunked"])
def test_unsigned_and_streaming_payloads_of_s3_are_refused(hash_of_the_body: str, coding: str) -> None:
    """Such a signature covers that word in place of the body's hash."""
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"AWSCognitoIdentityService.{OPERATION}",
        "X-Amz-Content-Sha256": hash_of_the_body,
        **({"Content-Encoding": coding} if coding else {}),
    }
    body = json.dumps(DOCUMENT).encode()
    request = signed(body, headers)
    framed = f"{len(body):x};chunk-signature={'0' * 64}\r\n".encode() + body + b"\r\n0\r\n\r\n" if coding else body
    lines = lines_of(request, f"Content-Length: {len(framed)}")
    assert outcome(sent(request, lines, framed)) == (400, INVALID)


def in_order(request: Signed) -> list[str]:
    return lines_of(request, f"Content-Length: {len(request.body)}")


def twice(name: str, *, value: str = "") -> Callable[[Signed], list[str]]:
    return lambda request: [*in_order(request), f"{name}: {value or request.header(name)}"]


def joined(request: Signed) -> list[str]:
    """A header with two values in one line, as joined by a proxy from two lines."""
    lines = in_order(request)
    assert "X-Other: b" in lines
    return ["X-Other: a,b" if line == "X-Other: b" else line for line in lines if line != "X-Other: a"]


def spaced(request: Signed) -> list[str]:
    """Space that a signer removes, also at the ends of each line of a header."""
    lines = in_order(request)
    assert "X-Other: a" in lines
    return ["X-Other:\ta \t" if line == "X-Other: a" else line for line in lines]


HEADS: Mapping[str, tuple[Callable[[Signed], list[str]], tuple[int, str]]] = {
    "as it was signed": (in_order, (200, "")),
    "lines of a name are joined": (joined, (200, "")),
    "space around the lines of a name": (spaced, (200, "")),
    "lines of a name are in another order": (lambda request: sorted(in_order(request), reverse=True), (400, INVALID)),
    "a line of a name more": (twice("X-Other", value="c"), (400, INVALID)),
    "the target twice": (twice("X-Amz-Target"), (400, "UnknownOperationException")),
    "the content type twice": (twice("Content-Type"), (404, "UnknownOperationException")),
    "the date twice": (twice("X-Amz-Date"), (400, INCOMPLETE)),
    "the authorization twice": (twice("Authorization"), (400, INCOMPLETE)),
    "a bearer token beside it": (twice("authorization", value="Bearer abc"), (400, INCOMPLETE)),
    "another signature before it": (
        lambda request: ["Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/d/e", *in_order(request)],
        (400, INCOMPLETE),
    ),
    "the host twice": (twice("host"), (400, MALFORMED)),
    "space before a colon": (lambda request: [*in_order(request), "X-Amz-Extra : 1"], (400, MALFORMED)),
    "a header of AWS's that is not signed": (lambda request: [*in_order(request), "X-Amz-Extra: 1"], (400, INVALID)),
    # As Java's own client does initially.
    "an offer of HTTP/2": (
        lambda request: [
            *in_order(request),
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ],
        (200, ""),
    ),
}


@pytest.mark.parametrize(("change", "expected"), HEADS.values(), ids=HEADS)
def test_only_harmless_changes_of_header_lines_are_accepted(
    change: Callable[[Signed], list[str]], expected: tuple[int, str]
) -> None:
    request = with_two_lines()
    assert outcome(sent(request, change(request), request.body)) == expected


def with_two_lines() -> Signed:
    """A request with a signed header of two lines, which the signer joins with a comma."""
    made = call(OPERATION, DOCUMENT)
    headers = {name: made.header(name) for name in ("Content-Type", "X-Amz-Target")}
    request = signed(made.body, {**headers, "X-Other": "a,b"})
    lines = [(name, value) for name, value in request.headers if name != "X-Other"]
    return Signed((*lines, ("X-Other", "a"), ("X-Other", "b")), request.body)


@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t", " \r\n  "])
def test_a_folded_header_is_refused(fold: str) -> None:
    """By RFC 9112, section 5.2: this server and a proxy may interpret the text after a fold differently."""
    request = call(OPERATION, DOCUMENT)
    for name in ("X-Amz-Target", "Authorization"):
        value = request.header(name)
        folded = request.with_header(name, f"{value[:40]}{fold}{value[40:]}")
        assert outcome(sent(request, in_order(folded), request.body)) == (400, MALFORMED)
