"""The fuzz targets: the generation of their inputs, and the checks of their results."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlencode

from google.protobuf.duration_pb2 import Duration
from tests.fakes.clock import FakeClock
from tests.fuzz.checks import check, check_login
from tests.fuzz.choices import Json, Make
from tests.fuzz.inputs import aws, callers, requests, tokens
from tests.fuzz.sds import check_secret_stream, secret_stream
from tests.fuzz.service import CANARY, DEVELOPER, GET, LOOKUP, MERGE, PROXY, SHOP_POOL, UNLINK, USERS, Rpc, Service
from tests.fuzz.tokens import compact, edited
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, Signed, presigned, signed
from tests.unit.aws_json.requests import answer as answer_of_aws_json
from tests.unit.aws_json.requests import call as signed_call

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.access.authentication.forwarded import ForwardedCertificateAuthenticator
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.aws_json.errors import AwsError
from tokend_server.aws_json.presigned import Query
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.wire import canonical_headers
from tokend_server.errors import CallerUnauthenticated
from tokend_server.model import Secret


class Target(NamedTuple):
    """One part of the service.

    Attributes:
        make: Creates an input.
        run: Passes it to the service, and raises an error if the result is wrong.
    """

    make: Make
    run: Callable[[Service, Json], None]


_REFUSED = "refused"
_by_header = ForwardedCertificateAuthenticator([PROXY])

#: The required members of each operation, besides the pool.
_LEAST: Mapping[str, Mapping[str, Json]] = {
    GET: {"logins": {DEVELOPER: USERS[0]}},
    LOOKUP: {"developer_user_identifier": USERS[0]},
    MERGE: {
        "developer_provider_name": DEVELOPER,
        "source_user_identifier": USERS[0],
        "destination_user_identifier": USERS[0],
    },
    UNLINK: {
        "identity_id": SHOP_POOL,
        "developer_provider_name": DEVELOPER,
        "developer_user_identifier": USERS[0],
    },
}


def _requests(service: Service, given: Json) -> None:
    message = _message(service, given["method"], given["fields"])
    rpc = Rpc(given["method"], message, peer=given["peer"], seconds_left=given["seconds_left"])
    check(rpc, service.call(rpc), secrets=[CANARY])


def _changed_requests(service: Service, given: Json) -> None:
    message = edited(_message(service, given["method"], given["fields"]).decode("latin-1"), given["edits"])
    rpc = Rpc(given["method"], message.encode("latin-1"))
    check(rpc, service.call(rpc))


def _callers(service: Service, given: Json) -> None:
    message = _message(service, given["method"], {"identity_pool_id": given["pool"], **_LEAST[given["method"]]})
    metadata = [(name, value) for name, value in given["metadata"]]
    rpc = Rpc(given["method"], message, given["listener"], metadata, given["uris"], given["dns_names"])
    check(rpc, service.call(rpc), secrets=[CANARY])


def _caller_tokens(service: Service, given: Json) -> None:
    message = _message(service, GET, {"identity_pool_id": SHOP_POOL, **_LEAST[GET]})
    rpc = Rpc(GET, message, metadata=[("authorization", f"Bearer {compact(given)}")])
    check(rpc, service.call(rpc), secrets=[CANARY])


def _login_tokens(service: Service, given: Json) -> None:
    token = compact(given["token"])
    fields = {
        "identity_pool_id": SHOP_POOL,
        "identity_id": given["identity_id"],
        "logins": {DEVELOPER: given["user"], given["provider"]: token},
    }
    rpc = Rpc(GET, _message(service, GET, fields))
    answer = service.call(rpc)
    check(rpc, answer, secrets=[CANARY, token])
    if answer.response:
        check_login(token, given["provider"])


def _forwarded(_service: Service, given: Json) -> None:
    """Checks that the headers of a proxied request never change which caller the proxy names."""
    own = given["own"]
    assert _named(f"{edited(given['before'], given['edits'])},{own}") in {_REFUSED, _named(own)}
    assert _by_header(PresentedCredentials(dns_names=("stranger.example",), forwarded_client_certs=(own,))) is None


def _named(header: str) -> str | None:
    try:
        return _by_header(PresentedCredentials(unix_socket=True, forwarded_client_certs=(header,)))
    except CallerUnauthenticated:
        return _REFUSED


def _aws_json(service: Service, given: Json) -> None:
    body = edited(given["body"], given["edits"]).encode("utf-8")
    request = signed_call(given["operation"], None, raw=body)
    for name, changes in given["headers"]:
        request = request.with_header(name, edited(request.header(name), changes))
    response = answer_of_aws_json(service.engines, request)
    assert response.status < 500, response.body


def _aws_operations(service: Service, given: Json) -> None:
    text = edited(given["body"], given["edits"])
    text = text.replace(aws.MADE_POOL, service.aws.pool).replace(aws.GUEST, service.aws.guest)
    response = service.aws.call(given["operation"], text.encode("utf-8", "surrogatepass"))
    assert response.status < 500, response.body
    document = json.loads(response.body or b"{}")
    assert (response.status == 200) == ("__type" not in document)
    assert all(line.isascii() and line.isprintable() for line in response.headers.values())


def _sts(service: Service, given: Json) -> None:
    pairs = [(name, value) for name, value in given["parameters"]]
    form = edited(urlencode(pairs, errors="surrogatepass"), given["edits"])
    body = b"" if given["method"] == "GET" else form.encode("utf-8", "surrogatepass")
    target = f"/?{form}" if given["method"] == "GET" else "/"
    values = {"content-type": given["type"], "accept": given["accept"]}
    response = service.aws.query(target, given["method"], values, body)
    assert 400 <= response.status < 500, response.body
    if response.headers["content-type"] == "text/xml":
        assert ET.fromstring(response.body)[0][1].text
    else:
        error = json.loads(response.body)
        assert error["Error"]["Message"] if "Error" in error else error["message"]


def _aws_signatures(_service: Service, given: Json) -> None:
    """Checks that a request is accepted as it was signed or rejected, and never causes an internal error."""
    body = f'{{"IdentityPoolId": "{SHOP_POOL}"}}'.encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSCognitoIdentityService.X"}
    made = presigned(body, headers, expires=given["expires"]) if given["is_presigned"] else signed(body, headers)
    request = replace(made, target=edited(made.target, given["target"]))
    for name, changes in given["headers"]:
        if name in dict(request.headers):
            request = request.with_header(name, edited(request.header(name), changes))
    request = replace(request, headers=(*request.headers, *((name, value) for name, value in given["more"])))
    late = given["late"]
    verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, FakeClock(now=made.signed_at + late))
    refusal = _refusal(verifier, request)
    if refusal:
        assert refusal.status == 400
        assert SECRET_KEY not in refusal.message
        return
    assert -300 <= late <= (given["expires"] if given["is_presigned"] else 300)
    assert Query(request.target.partition("?")[2]).canonical == Query(made.target.partition("?")[2]).canonical


def _refusal(verifier: SignatureVerifier, request: Signed) -> AwsError | None:
    try:
        verifier.verify(
            request.method, request.target.partition("?")[2], canonical_headers(request.headers), request.body
        )
    except AwsError as refusal:
        return refusal
    return None


def _message(service: Service, method: str, fields: Mapping[str, Json]) -> bytes:
    values = dict(fields)
    if duration := fields.get("token_duration"):
        values["token_duration"] = Duration(**duration)
    if identity := service.identities.get(fields.get("identity_id", "")):
        values["identity_id"] = identity
    serialized: bytes = getattr(pb, f"{method}Request")(**values).SerializeToString(deterministic=True)
    return serialized


TARGETS: Mapping[str, Target] = {
    "requests": Target(requests.request, _requests),
    "changed-requests": Target(requests.changed_request, _changed_requests),
    "callers": Target(callers.caller, _callers),
    "caller-tokens": Target(tokens.caller_token, _caller_tokens),
    "login-tokens": Target(tokens.login_token, _login_tokens),
    "forwarded": Target(callers.forwarded, _forwarded),
    "aws-json": Target(aws.aws_json, _aws_json),
    "aws-operations": Target(aws.aws_operation, _aws_operations),
    "aws-signatures": Target(aws.aws_signature, _aws_signatures),
    "sts": Target(aws.sts_query, _sts),
    "secret-streams": Target(secret_stream, check_secret_stream),
}
