"""Signature Version 4: AWS's published examples, botocore's signatures, and all causes of invalid ones."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, Signed, signed

from tokend_server.aws_json.authorization import Credential
from tokend_server.aws_json.errors import AwsError
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.wire import canonical_headers
from tokend_server.model import Secret

SESSION_TOKEN = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeo=="

MISMATCH = "The request signature we calculated does not match the signature you provided."

DATES_DIFFER = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '"

#: AWS's Signature Version 4 test suite: method, headers, body, names of the signed headers, signature.
PUBLISHED = {
    "get-vanilla": (
        "GET",
        (),
        b"",
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    "get-header-key-duplicate": (
        "GET",
        (("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")),
        b"",
        "host;my-header1;x-amz-date",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    "get-header-value-order": (
        "GET",
        (("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2")),
        b"",
        "host;my-header1;x-amz-date",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    "get-header-value-trim": (
        "GET",
        (("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')),
        b"",
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "post-vanilla": (
        "POST",
        (),
        b"",
        "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    "post-header-key-sort": (
        "POST",
        (("My-Header1", "value1"),),
        b"",
        "host;my-header1;x-amz-date",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-header-value-case": (
        "POST",
        (("My-Header1", "VALUE1"),),
        b"",
        "host;my-header1;x-amz-date",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    "post-x-www-form-urlencoded": (
        "POST",
        (("Content-Type", "application/x-www-form-urlencoded"),),
        b"Param1=value1",
        "content-type;host;x-amz-date",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}


def verifier_at(now: float, session_token: str | None = None, service: str = "cognito-identity") -> SignatureVerifier:
    session_tokens = {KEY_ID: Secret(session_token)} if session_token is not None else {}
    return SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, FakeClock(now=now), service, session_tokens)


def verify(request: Signed, session_token: str | None = None, *, late: float = 0.0) -> Credential:
    verifier = verifier_at(request.signed_at + late, session_token)
    return verifier.verify(
        request.method, request.target.partition("?")[2], canonical_headers(request.headers), request.body
    )


def refusal(request: Signed, session_token: str | None = None, *, now: float | None = None) -> tuple[str, str]:
    verifier = verifier_at(request.signed_at if now is None else now, session_token)
    with pytest.raises(AwsError) as raised:
        verifier.verify(
            request.method, request.target.partition("?")[2], canonical_headers(request.headers), request.body
        )
    assert raised.value.status == 400
    return raised.value.code, raised.value.message


@pytest.mark.parametrize(("method", "headers", "body", "names", "signature"), PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_example_verifies(
    method: str, headers: tuple[tuple[str, str], ...], body: bytes, names: str, signature: str
) -> None:
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    all_headers = (
        ("Host", "example.amazonaws.com"),
        *headers,
        ("X-Amz-Date", "20150830T123600Z"),
        ("Authorization", authorization),
    )
    values = canonical_headers(all_headers)
    verifier = verifier_at(1_440_938_160, service="service")
    expected = Credential("AKIDEXAMPLE", "20150830", "us-east-1", "service")
    assert verifier.verify(method, "", values, body) == expected
    with pytest.raises(AwsError, match=MISMATCH):
        verifier.verify(method, "", values, body + b" ")


#: Characters that an HTTP header can contain, and that signer and verifier interpret alike.
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E) | st.just("\t"), max_size=60)
NAMES = st.from_regex(r"x-amz-[a-z]{1,8}|[a-z]{3,8}", fullmatch=True).filter(
    lambda name: (
        name not in {"host", "x-amz-date", "x-amz-security-token", "expect", "te", "trailer", "upgrade", "baggage"}
    )
)
HEADERS = st.dictionaries(NAMES, VALUES, max_size=5)
REGIONS = st.from_regex(r"[a-z]{2}(-gov)?-[a-z]{4,9}-[1-9]", fullmatch=True)
SESSION_TOKENS = st.none() | st.from_regex(r"[A-Za-z0-9+/=]{1,300}", fullmatch=True)


@given(body=st.binary(max_size=300), headers=HEADERS, region=REGIONS, session_token=SESSION_TOKENS)
def test_signed_requests_of_botocore_verify(
    body: bytes, headers: dict[str, str], region: str, session_token: str | None
) -> None:
    request = signed(body, headers, region=region, credentials=(KEY_ID, SECRET_KEY, session_token))
    credential = verify(request, session_token)
    assert credential == (KEY_ID, request.header("X-Amz-Date")[:8], region, "cognito-identity")


@given(data=st.data(), body=st.binary(min_size=1, max_size=300))
def test_no_byte_of_the_body_can_change(data: st.DataObject, body: bytes) -> None:
    request = signed(body)
    place = data.draw(st.integers(0, len(body) - 1))
    change = data.draw(st.integers(1, 255))
    changed = body[:place] + bytes([body[place] ^ change]) + body[place + 1 :]
    assert refusal(replace(request, body=changed))[0] == "InvalidSignatureException"


@given(headers=HEADERS, value=VALUES, name=st.sampled_from(["X-Amz-Target", "Content-Type", "x-other", "host"]))
def test_no_signed_header_can_change_but_for_its_white_space(headers: dict[str, str], value: str, name: str) -> None:
    own = {"X-Amz-Target": "a.b", "Content-Type": "application/x-amz-json-1.1", "x-other": "x  y"}
    request = signed(b"{}", headers | own)
    changed = request.with_header(name, value)
    if value.split() == request.header(name).split():
        verify(changed)
    else:
        code, text = refusal(changed)
        assert (code, text.startswith(MISMATCH)) == ("InvalidSignatureException", True)


@given(secret_key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60))
def test_a_signature_with_another_secret_key_is_refused(secret_key: str) -> None:
    request = signed(credentials=(KEY_ID, secret_key, None))
    if secret_key == SECRET_KEY:
        verify(request)
    else:
        assert refusal(request)[0] == "InvalidSignatureException"


@given(place=st.integers(0, 63), digit=st.sampled_from("0123456789abcdef"))
def test_no_digit_of_the_signature_can_change(place: int, digit: str) -> None:
    request = signed()
    start, _, signature = request.header("Authorization").rpartition("=")
    changed = signature[:place] + digit + signature[place + 1 :]
    forged = request.with_header("Authorization", f"{start}={changed}")
    if changed == signature:
        verify(forged)
    else:
        assert refusal(forged)[0] == "InvalidSignatureException"


def authorization(change: Callable[[str], str]) -> Callable[[Signed], Signed]:
    """Changes the Authorization header of a request."""
    return lambda request: request.with_header("Authorization", change(request.header("Authorization")))


def replaced(old: str, new: str) -> Callable[[Signed], Signed]:
    return authorization(lambda header: header.replace(old, new))


PARAMETERS = ("Credential", "SignedHeaders", "Signature")
INCOMPLETE = "IncompleteSignatureException"
INVALID = "InvalidSignatureException"
DATE = "Authorization header requires existence of a 'X-Amz-Date' header in ISO-8601 'basic format'."
ELEMENTS = "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."

REFUSALS: dict[str, tuple[Callable[[Signed], Signed], str, str]] = {
    "no authorization": (
        lambda request: request.without_header("Authorization"),
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    ),
    "an empty authorization": (
        authorization(lambda _header: " "),
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    ),
    "another scheme": (
        authorization(lambda _header: "Bearer abc"),
        INCOMPLETE,
        "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'.",
    ),
    "another algorithm": (
        replaced("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        INCOMPLETE,
        "Authorization header requires the algorithm 'AWS4-HMAC-SHA256'.",
    ),
    "the algorithm alone": (
        authorization(lambda _header: "AWS4-HMAC-SHA256"),
        INCOMPLETE,
        " ".join(f"Authorization header requires '{name}' parameter." for name in PARAMETERS),
    ),
    "no credential": (
        replaced("Credential=", "credential="),
        INCOMPLETE,
        "Authorization header requires 'Credential' parameter.",
    ),
    "an empty signature": (
        authorization(lambda header: header.rpartition("=")[0] + "="),
        INCOMPLETE,
        "Authorization header requires 'Signature' parameter.",
    ),
    "a short signature": (
        authorization(lambda header: header[:-1]),
        INCOMPLETE,
        "Signature must be 64 hexadecimal digits.",
    ),
    "a signature in capitals": (
        authorization(lambda header: header[:-64] + header[-64:].upper().replace("0", "A")),
        INCOMPLETE,
        "Signature must be 64 hexadecimal digits.",
    ),
    "a signature that is no ASCII": (
        authorization(lambda header: header[:-1] + "\u00e9"),
        INCOMPLETE,
        "Signature must be 64 hexadecimal digits.",
    ),
    "a parameter twice": (
        authorization(lambda header: f"{header}, Signature={'0' * 64}"),
        INCOMPLETE,
        "Authorization header has too many parameters.",
    ),
    "the header twice": (
        lambda request: replace(
            request, headers=(*request.headers, ("authorization", request.header("Authorization")))
        ),
        INCOMPLETE,
        "Authorization header has too many parameters.",
    ),
    "four elements": (replaced("/us-east-1/", "/"), INCOMPLETE, ELEMENTS),
    "six elements": (replaced("/us-east-1/", "/us/east-1/"), INCOMPLETE, ELEMENTS),
    "an empty element": (replaced("/us-east-1/", "//"), INCOMPLETE, ELEMENTS),
    "another terminator": (
        replaced("aws4_request", "aws5_request"),
        INVALID,
        "Credential should be scoped with a valid terminator: 'aws4_request'.",
    ),
    "another service in the scope": (
        replaced("/cognito-identity/", "/sts/"),
        INVALID,
        "Credential should be scoped to correct service: 'cognito-identity'.",
    ),
    "another date in the scope": (
        authorization(lambda header: header.replace("AKIDEXAMPLE/2", "AKIDEXAMPLE/1")),
        INVALID,
        DATES_DIFFER,
    ),
    "another region in the scope": (replaced("/us-east-1/", "/us-east-2/"), INVALID, MISMATCH),
    "no date": (lambda request: request.without_header("X-Amz-Date"), INCOMPLETE, DATE),
    "a date twice": (
        lambda request: replace(request, headers=(*request.headers, ("x-amz-date", request.header("X-Amz-Date")))),
        INCOMPLETE,
        DATE,
    ),
    "a date of another form": (
        lambda request: request.with_header("X-Amz-Date", "2015-08-30T12:36:00Z"),
        INCOMPLETE,
        DATE,
    ),
    "a date that is none": (lambda request: request.with_header("X-Amz-Date", "20151330T123600Z"), INCOMPLETE, DATE),
    "a date with a digit short": (
        lambda request: request.with_header("X-Amz-Date", "20151130T12360Z"),
        INCOMPLETE,
        DATE,
    ),
    "a host that is not signed": (
        replaced(";host", ""),
        INVALID,
        "'host' must be a 'SignedHeader' in the AWS Authorization.",
    ),
    "a content type that is not signed, though it was": (replaced("content-type;", ""), INVALID, MISMATCH),
    "a header of AWS's that is not signed": (
        lambda request: request.with_header("X-Amz-Extra", "1"),
        INVALID,
        "'x-amz-extra' must be a 'SignedHeader' in the AWS Authorization.",
    ),
    "a signed header that is not there": (lambda request: request.without_header("X-Other"), INVALID, MISMATCH),
    "names of signed headers in another order": (
        replaced("content-type;host", "host;content-type"),
        INVALID,
        MISMATCH,
    ),
    "a signed header once more": (
        lambda request: replace(request, headers=(*request.headers, ("X-Other", "once more"))),
        INVALID,
        MISMATCH,
    ),
    "another method": (lambda request: replace(request, method="PUT"), INVALID, MISMATCH),
    "an unknown access key": (
        replaced("AKIDEXAMPLE", "AKIDUNKNOWN"),
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
}


@pytest.mark.parametrize(("change", "code", "text"), REFUSALS.values(), ids=REFUSALS)
def test_an_invalid_signed_request_is_refused(change: Callable[[Signed], Signed], code: str, text: str) -> None:
    request = signed(b"{}", {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "a.b", "X-Other": "x"})
    verify(request)
    refused_code, refused_text = refusal(change(request), now=request.signed_at)
    assert refused_code == code
    assert refused_text.startswith(text) if text in {MISMATCH, DATES_DIFFER} else refused_text == text


@pytest.mark.parametrize("late", [-300, 0, 300])
def test_a_signature_is_accepted_up_to_five_minutes_early_or_late(late: float) -> None:
    verify(signed(), late=late)


def test_expired_and_future_signatures_are_refused() -> None:
    today = signed()
    request = replaced(today.header("X-Amz-Date")[:8], "20150830")(today.with_header("X-Amz-Date", "20150830T123600Z"))
    assert refusal(request, now=1_440_938_160 + 301) == (
        INVALID,
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)",
    )
    assert refusal(request, now=1_440_938_160 - 301) == (
        INVALID,
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)",
    )


@pytest.mark.parametrize(
    ("sent", "known"),
    [(None, SESSION_TOKEN), (SESSION_TOKEN, None), (SESSION_TOKEN[1:], SESSION_TOKEN), ("\u00e9", SESSION_TOKEN)],
)
def test_a_session_token_must_be_the_one_of_the_access_key(sent: str | None, known: str | None) -> None:
    request = signed(credentials=(KEY_ID, SECRET_KEY, sent))
    expected = ("UnrecognizedClientException", "The security token included in the request is invalid.")
    assert refusal(request, known) == expected


def test_an_unsigned_session_token_is_refused() -> None:
    request = signed().with_header("X-Amz-Security-Token", SESSION_TOKEN)
    expected = (INVALID, "'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization.")
    assert refusal(request, SESSION_TOKEN) == expected


def test_no_refusal_repeats_a_secret() -> None:
    request = signed(credentials=(KEY_ID, SECRET_KEY, SESSION_TOKEN))
    for _code, text in (refusal(request), refusal(request.with_header("host", "x"), SESSION_TOKEN)):
        assert SECRET_KEY not in text
        assert SESSION_TOKEN not in text
