"""Invariants of every call, checked independently of the service's code."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import grpc
import jwt
from google.rpc.status_pb2 import Status
from tests.fuzz.service import ADMIN, GET, KEY, LONGEST, LOOKUP, OPS_POOL, PROXY, SHOP_POOL, TAG, Answer, Rpc
from tests.fuzz.tokens import APPLICATION, AUDIENCE, CLUSTER, NOW, SUBJECT, public_keys

from tokend.v1 import developer_identity_service_pb2 as pb

#: The default size limit of trailers in gRPC's clients.
_MOST_TRAILER_BYTES = 8192

#: The characters of a status's text that are sent unchanged; others are percent-encoded.
_PLAIN = "".join(chr(code) for code in range(32, 127) if chr(code) != "%")

#: The maximum number of a field's characters, or of its entries.
_LONGEST = {
    "identity_pool_id": 55,
    "identity_id": 55,
    "logins": 10,
    "principal_tags": 50,
    "developer_provider_name": 128,
    "developer_user_identifier": 1024,
    "source_user_identifier": 1024,
    "destination_user_identifier": 1024,
}

_DEFECTS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})

#: Codes that only an engine returns, to allowed callers.
_OF_ENGINE = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
    }
)

_SHOPS = re.compile(r"spiffe://acme\.example/ns/shop/sa/[A-Za-z0-9._-]+")
_READERS = re.compile(r"dns:[a-z0-9.-]+\.reader\.example")
_QUOTING = frozenset({ord('"'), ord("\\")})


def check(rpc: Rpc, answer: Answer, *, secrets: Iterable[str] = ()) -> None:
    """Checks the result of any call."""
    assert answer.code not in _DEFECTS, f"{answer.code}: {answer.logged}"
    _check_audit(rpc, answer)
    shown = [answer.audit.decode(), answer.logged]
    if answer.code in _OF_ENGINE:
        _check_limits(_request(rpc))
    if answer.status is None:
        _check_allowed(rpc, answer)
    else:
        shown.append(_check_status(answer.status))
    for secret in (*secrets, *_shown_secrets(rpc.metadata)):
        assert not any(secret in output for output in shown), f"{secret!r} is shown"
    assert re.fullmatch(r"[A-Za-z0-9_.:-]{1,128}", answer.call.request_id)
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", answer.call.trace_id or "f" * 32)


def _shown_secrets(metadata: Sequence[tuple[str, str]]) -> list[str]:
    words = [value.rpartition(" ")[2].rpartition(".")[2] for name, value in metadata if name == "authorization"]
    return [word for word in words if len(word) > 20]


def _check_audit(rpc: Rpc, answer: Answer) -> None:
    if not answer.audit:
        # Most refusals of callers who are not known are counted instead.
        assert answer.call.caller in {"", "anonymous"}, "a known caller's call has no line"
        assert answer.status is not None, "what was granted has no line"
        return
    assert re.fullmatch(rb"[ -~]+\n", answer.audit), "the audit log has something else than one line"
    event = json.loads(answer.audit)
    assert event["eventName"] == rpc.method
    assert ("errorCode" in event) == (answer.status is not None)
    assert event["userIdentity"].get("principalId", "") == answer.call.caller


def _check_limits(request: Any) -> None:  # noqa: ANN401 - any of the requests
    """Checks that requests that reach an engine are within the limits."""
    for field, longest in _LONGEST.items():
        assert len(getattr(request, field, "")) <= longest, f"{field} is too long"


def _check_status(status: grpc.Status) -> str:
    """Checks that the status can be sent, and is short enough for any client; returns all its texts."""
    texts = [status.details]
    size = len(quote(status.details, _PLAIN))
    for name, value in status.trailing_metadata or ():
        if name.endswith("-bin"):
            assert isinstance(value, bytes)
            texts.append(str(Status.FromString(value)))
            size += len(base64.b64encode(value))
        else:
            assert isinstance(value, str)
            assert re.fullmatch(r"[!-~]+", value)
            texts.append(value)
            size += len(value)
    assert size <= _MOST_TRAILER_BYTES, f"{size} bytes of trailers"
    return "\n".join(texts)


def _check_allowed(rpc: Rpc, answer: Answer) -> None:
    caller, request = answer.call.caller, _request(rpc)
    assert _may(caller, rpc.method, request.identity_pool_id), f"{caller} may not"
    assert _is_proved(caller, rpc), f"{caller} is not proved"
    if rpc.method == GET:
        _check_token(request, pb.GetOpenIdTokenForDeveloperIdentityResponse.FromString(answer.response))


def _request(rpc: Rpc) -> Any:  # noqa: ANN401 - any of the requests
    return getattr(pb, f"{rpc.method}Request").FromString(rpc.message)


def _may(caller: str, method: str, pool: str) -> bool:
    if _SHOPS.fullmatch(caller) or caller in {"key:checkout", f"jwt:cluster:{SUBJECT}"}:
        return pool == SHOP_POOL
    if caller == ADMIN:
        return pool == OPS_POOL
    return method == LOOKUP and (caller == "anonymous" or _READERS.fullmatch(caller) is not None)


def _is_proved(caller: str, rpc: Rpc) -> bool:
    if caller == "anonymous":
        return rpc.listener == "open"
    authorization = [value for name, value in rpc.metadata if name == "authorization"]
    credential = authorization[0].split(" ")[-1] if len(authorization) == 1 else ""
    if caller.startswith("key:"):
        return credential == KEY
    if caller.startswith("jwt:"):
        return _is_of_cluster(credential)
    return _is_certified(caller, rpc)


def _is_of_cluster(token: str) -> bool:
    claims = _signed_claims(token)
    return (
        claims.get("iss") == CLUSTER
        and AUDIENCE in _listed(claims.get("aud"))
        and claims.get("sub") == SUBJECT
        and claims["exp"] > NOW - 60
        and claims.get("nbf", 0) <= NOW + 60
    )


def check_login(token: str, provider: str) -> None:
    """Checks that an accepted ID token proves its user."""
    claims = _signed_claims(token)
    assert claims.get("iss") == f"https://{provider}", f"no token of {provider}"
    assert APPLICATION in _listed(claims.get("azp") or claims.get("aud")), "a token for others"
    assert claims["exp"] > NOW - 300, "an old token"


def _signed_claims(token: str) -> Mapping[str, Any]:
    """Returns the claims of a token that is signed with one of the issuers' keys, verified with another library."""
    for key in jwt.PyJWKSet.from_dict(public_keys()).keys:
        with suppress(jwt.PyJWTError, ValueError):
            decoded: Mapping[str, Any] = json.loads(jwt.PyJWS().decode(token, key, ["ES256", "RS256"]))
            return decoded
    return {}


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def _is_certified(caller: str, rpc: Rpc) -> bool:
    headers = [value for name, value in rpc.metadata if name == "x-forwarded-client-cert"]
    of_tls = rpc.listener == "tls"
    name = caller.removeprefix("dns:")
    if of_tls and not (headers and list(rpc.uris) == [PROXY]):
        return name in rpc.uris or name in map(str.lower, rpc.dns_names)
    written = headers[0].lower().translate(dict.fromkeys(_QUOTING)) if len(headers) == 1 else ""
    return rpc.listener != "open" and f"={name.lower()}" in written


def _check_token(request: Any, response: pb.GetOpenIdTokenForDeveloperIdentityResponse) -> None:  # noqa: ANN401
    payload = response.token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims["sub"] == response.identity_id
    assert claims["aud"] == request.identity_pool_id
    assert claims["exp"] - NOW <= LONGEST
    tags = claims.get("https://aws.amazon.com/tags", {}).get("principal_tags", {})
    assert tags.keys() <= ({TAG} if request.identity_pool_id == SHOP_POOL else set())
