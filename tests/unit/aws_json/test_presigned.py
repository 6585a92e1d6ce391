"""Signatures in the query, as created by botocore, and what else may or may not be signed."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.grpc_service import POOL_ID
from tests.unit.aws_json.requests import Signed, answer, error_of, presigned, signed
from tests.unit.aws_json.test_sigv4 import MISMATCH, SESSION_TOKEN, refusal, verify

from tokend_server.aws_json.presigned import Query

INCOMPLETE, INVALID = "IncompleteSignatureException", "InvalidSignatureException"
NO_TOKEN = ("UnrecognizedClientException", "The security token included in the request is invalid.")
WEEK = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than"
TARGET = "AWSCognitoIdentityService.LookupDeveloperIdentity"
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": TARGET}


def altered(old: str, new: str) -> Callable[[Signed], Signed]:
    def change(request: Signed) -> Signed:
        assert old in request.target
        return replace(request, target=request.target.replace(old, new))

    return change


@given(body=st.binary(max_size=300), expires=st.integers(1, 604_800))
def test_presigned_requests_of_botocore_verify(body: bytes, expires: int) -> None:
    request = presigned(body, HEADERS, expires=expires)
    assert verify(request).region == "us-east-1"
    verify(request, late=expires)
    assert refusal(request, now=request.signed_at + expires + 1)[0] == INVALID


def test_a_presigned_call_succeeds() -> None:
    body = f'{{"IdentityPoolId": "{POOL_ID}", "DeveloperUserIdentifier": "alice"}}'.encode()
    request = presigned(body, HEADERS)
    assert answer({POOL_ID: ScriptedEngine()}, request).status == 200
    assert error_of(answer({POOL_ID: ScriptedEngine()}, replace(request, body=body + b" ")))[1] == INVALID


def test_other_parameters_are_signed_too() -> None:
    request = presigned(query="?b=%20x%2B&a=1")
    verify(request)
    for change in (altered("b=%20x", "b=%20y"), altered("a=1", "a=2"), altered("a=1", "a=1&c=")):
        code, text = refusal(change(request))
        assert (code, text.startswith(MISMATCH)) == (INVALID, True)


MISSING = "AWS query-string parameters must include '{}'. Re-examine the query-string parameters."

CHANGES: Mapping[str, tuple[Callable[[Signed], Signed], str, str]] = {
    "no credential": (altered("X-Amz-Credential", "X-Credential"), INCOMPLETE, MISSING.format("X-Amz-Credential")),
    "no signature": (altered("X-Amz-Signature", "X-Signature"), INCOMPLETE, MISSING.format("X-Amz-Signature")),
    "no headers": (altered("X-Amz-SignedHeaders", "X-Headers"), INCOMPLETE, MISSING.format("X-Amz-SignedHeaders")),
    "an empty date": (altered("X-Amz-Date=", "X-Amz-Date=&x="), INCOMPLETE, MISSING.format("X-Amz-Date")),
    "a parameter twice": (
        lambda request: replace(request, target=f"{request.target}&X-Amz-Expires=60"),
        INCOMPLETE,
        "Re-examine the query-string parameters.",
    ),
    "no algorithm": (
        altered("X-Amz-Algorithm", "X-Algorithm"),
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    ),
    "another algorithm": (
        altered("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        INCOMPLETE,
        "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'.",
    ),
    "a header as well": (
        lambda request: request.with_header("Authorization", signed().header("Authorization")),
        INVALID,
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    ),
    "no number of seconds": (
        altered("X-Amz-Expires=60", "X-Amz-Expires=a"),
        INCOMPLETE,
        "X-Amz-Expires should be a number",
    ),
    "no second": (
        altered("X-Amz-Expires=60", "X-Amz-Expires=0"),
        INCOMPLETE,
        "X-Amz-Expires must be at least 1 second",
    ),
    "more than a week": (
        altered("X-Amz-Expires=60", "X-Amz-Expires=604801"),
        INCOMPLETE,
        f"{WEEK} 604800 seconds",
    ),
    "longer than was signed": (altered("X-Amz-Expires=60", "X-Amz-Expires=61"), INVALID, MISMATCH),
    "another method": (lambda request: replace(request, method="PUT"), INVALID, MISMATCH),
    "a header of AWS's that is not signed": (
        lambda request: request.with_header("X-Amz-User-Agent", "x"),
        INVALID,
        "'x-amz-user-agent' must be a 'SignedHeader' in the AWS Authorization.",
    ),
    "an unknown access key": (altered("AKIDEXAMPLE", "AKIDUNKNOWN"), *NO_TOKEN),
    "another service": (
        altered("cognito-identity%2Faws4", "sts%2Faws4"),
        INVALID,
        "Credential should be scoped to correct service: 'cognito-identity'.",
    ),
    "a session token that is not signed": (
        lambda request: replace(request, target=f"{request.target}&X-Amz-Security-Token=x"),
        *NO_TOKEN,
    ),
}


@pytest.mark.parametrize(("change", "code", "text"), CHANGES.values(), ids=CHANGES)
def test_invalid_presigned_requests_are_rejected(change: Callable[[Signed], Signed], code: str, text: str) -> None:
    request = presigned(headers=HEADERS)
    verify(request)
    refused = refusal(change(request), now=request.signed_at)
    assert refused[0] == code
    assert refused[1].startswith(text) if text == MISMATCH else refused[1] == text


def test_expired_and_future_signatures_have_separate_texts() -> None:
    request = presigned(expires=90)
    text = refusal(request, now=request.signed_at + 91)[1]
    assert text.startswith(f"Signature expired: {request.stamp} is now earlier than ")
    assert text.endswith(" - 90 sec.)")
    assert refusal(request, now=request.signed_at - 301)[1].startswith("Signature not yet current: ")
    hour = presigned(expires=3600)
    assert refusal(hour, now=hour.signed_at + 3601)[1].endswith(" - 60 min.)")


def test_a_presigned_request_without_a_lifetime_expires_after_five_minutes() -> None:
    # The signed request had a lifetime, so that only the order of checks shows the bound.
    request = altered("&X-Amz-Expires=60", "")(presigned())
    assert refusal(request, now=request.signed_at + 300) == (INVALID, refusal(request)[1])
    assert refusal(request, now=request.signed_at + 301)[1].startswith("Signature expired: ")


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("in_query", [True, False])
def test_an_unknown_session_token_is_refused(*, is_signed: bool, in_query: bool) -> None:
    if is_signed and in_query:
        request = presigned(session_token=SESSION_TOKEN)
    elif is_signed:
        request = signed(credentials=("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SESSION_TOKEN))
    else:
        made = presigned() if in_query else signed()
        request = made.with_header("X-Amz-Security-Token", SESSION_TOKEN)
    assert refusal(request) == NO_TOKEN


def test_a_session_token_is_not_shown() -> None:
    query = Query(presigned(session_token=SESSION_TOKEN).target.partition("?")[2])
    assert SESSION_TOKEN not in repr(query.presigned())


def test_a_session_token_that_is_known_verifies_in_the_query() -> None:
    request = presigned(session_token=SESSION_TOKEN)
    assert verify(request, SESSION_TOKEN).access_key_id == "AKIDEXAMPLE"


@pytest.mark.parametrize(
    "hash_of_the_body",
    ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "0" * 64],
)
def test_a_body_that_is_not_signed_is_refused(hash_of_the_body: str) -> None:
    request = signed(b"{}", {"X-Amz-Content-Sha256": hash_of_the_body})
    assert refusal(request)[1].startswith(MISMATCH)
    verify(signed(b"{}", {"X-Amz-Content-Sha256": hashlib.sha256(b"{}").hexdigest()}))


@given(query=st.text(st.characters(max_codepoint=0x7E), max_size=200))
def test_any_query_is_refused_with_an_expected_error_code(query: str) -> None:
    request = replace(presigned(), target=f"/?{query}")
    assert refusal(request, now=presigned().signed_at)[0] in {
        "MissingAuthenticationTokenException",
        INCOMPLETE,
        INVALID,
        NO_TOKEN[0],
    }
