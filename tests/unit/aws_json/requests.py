"""Requests signed by botocore, the AWS SDK's own signer, and a service that handles them."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.fakes.clock import FakeClock

from tokend_server.access.authorization import Policy
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.sts import StsService
from tokend_server.aws_json.wire import AwsResponse, canonical_headers
from tokend_server.clock import Clock
from tokend_server.engine import Engine
from tokend_server.model import ANONYMOUS, Secret
from tokend_server.rpc.developer_identity import DeveloperIdentityService

HOST = "cognito-identity.us-east-1.amazonaws.com"
REQUEST_ID = "11111111-2222-4333-8444-555555555555"
KEY_ID = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@dataclass(frozen=True)
class Signed:
    """A signed request on arrival."""

    headers: tuple[tuple[str, str], ...]
    body: bytes
    method: str = "POST"
    target: str = "/"

    def header(self, name: str) -> str:
        return dict(self.headers)[name]

    def with_header(self, name: str, value: str) -> Self:
        """Returns the request with another value of one header, or with an additional header."""
        others = tuple(each for each in self.headers if each[0] != name)
        return replace(self, headers=(*others, (name, value)))

    def without_header(self, name: str) -> Self:
        return replace(self, headers=tuple(each for each in self.headers if each[0] != name))

    @property
    def stamp(self) -> str:
        found = re.search(r"X-Amz-Date=(\w+)", self.target)
        return found[1] if found else self.header("X-Amz-Date")

    @property
    def signed_at(self) -> float:
        return datetime.strptime(self.stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def signed(
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    *,
    credentials: tuple[str, str, str | None] = (KEY_ID, SECRET_KEY, None),
    region: str = "us-east-1",
    service: str = "cognito-identity",
) -> Signed:
    """Returns a request signed by botocore now."""
    request = AWSRequest(method="POST", url=f"https://{HOST}/", headers=dict(headers or {}), data=body)
    SigV4Auth(Credentials(*credentials), service, region).add_auth(request)
    return Signed((("host", HOST), *request.headers.items()), body)


def presigned(
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    *,
    query: str = "",
    expires: int = 60,
    session_token: str | None = None,
) -> Signed:
    """Returns a request with its signature in the query, signed by botocore now; the body's hash is a header."""
    own = {**(headers or {}), "X-Amz-Content-Sha256": hashlib.sha256(body).hexdigest()}
    request = AWSRequest(method="POST", url=f"https://{HOST}/{query}", headers=own)
    credentials = Credentials(KEY_ID, SECRET_KEY, session_token)
    SigV4QueryAuth(credentials, "cognito-identity", "us-east-1", expires=expires).add_auth(request)
    target = request.url.removeprefix(f"https://{HOST}")
    return Signed((("host", HOST), *request.headers.items()), body, target=target)


def call(
    operation: str,
    document: object,
    *,
    raw: bytes | None = None,
    target: str | None = None,
    region: str | None = None,
) -> Signed:
    """Returns a valid request for an operation with the given changes, signed for the Region of its pool."""
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": target or f"AWSCognitoIdentityService.{operation}",
    }
    return signed(json.dumps(document).encode() if raw is None else raw, headers, region=region or _region(document))


def _region(document: object) -> str:
    pool = document.get("IdentityPoolId") if isinstance(document, dict) else None
    region = pool.partition(":")[0] if isinstance(pool, str) and ":" in pool else ""
    return region or "us-east-1"


def service(
    engines: Mapping[str, Engine],
    verifier: SignatureVerifier,
    clock: Clock,
    count: Callable[[str, str, float], object] = lambda _operation, _code, _seconds: None,
) -> Calls:
    """A service without a policy, in front of engines. All signers are one caller."""
    operations = DeveloperIdentityService(engines, Policy((), ()), clock)
    layers = [identifying_signers(verifier, lambda _access_key_id: ANONYMOUS)]
    return Calls(AwsJsonService(operations, layers), clock, count=count)


def as_sent(request: Signed) -> AwsRequest:
    return AwsRequest(request.method, request.target, canonical_headers(request.headers), request.body, "192.0.2.1")


def answer(engines: Mapping[str, Engine], request: Signed) -> AwsResponse:
    """Returns the response of a service with one access key, at the time of the signature."""
    clock = FakeClock(now=request.signed_at)
    verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, clock)
    return service(engines, verifier, clock).answer(as_sent(request))


def error_of(response: AwsResponse) -> tuple[int, str, str]:
    """Returns the status, code and text of an error response."""
    error = json.loads(response.body)
    return response.status, error["__type"], error["message"]


def no_sts(clock: Clock) -> Calls:
    """STS without any operation."""
    return Calls(StsService((), ()), clock, new_id=lambda: REQUEST_ID)
