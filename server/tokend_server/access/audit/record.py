"""The records of the audit log: one line of JSON each, in the format of CloudTrail's event for the same call."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson

from tokend_server.model import CognitoOperation, NumericDate, Operation, StsOperation

#: The replacement of a value that is not shown.
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"

#: The maximum length in bytes of a line whose texts are written in full.
MAX_WHOLE_LINE = 4096

#: The maximum length in characters of each text in a longer line; a truncated text ends in `…`.
MAX_TEXT = 256

#: The same for members with longer texts: a caller's name may be as long as a SPIFFE ID.
_MAX_TEXTS = {"principalId": 2048, "errorMessage": 2048}

#: The maximum number of names of logins, and of tags; if there are more, the last one is `…`.
MAX_NAMES = 50

#: The maximum number of ids of identities, as many as a request may have; if there are more, the last one is `…`.
MAX_IDS = 60

_ELLIPSIS = "…"

#: The event of a line with the number of omitted refusals.
OMITTED_REFUSALS = "OmittedRefusals"

_READ_ONLY = frozenset({OMITTED_REFUSALS, *(each for each in (*Operation, *CognitoOperation) if each.is_read_only)})

#: The operations outside the contract that CloudTrail records as management events.
_MANAGEMENT = frozenset({*StsOperation, *(operation for operation in CognitoOperation if operation.is_signed)})

#: The number of rendered requests that are cached.
_MAX_REMEMBERED = 1024

_POOL = ({"type": "AWS::Cognito::IdentityPool"},)


#: The one control character that JSON does not escape.
_DELETE = b"\x7f"


class AuditedRequest(NamedTuple):
    """The request of a call in the log.

    Attributes:
        identity_pool_id: The pool.
        identity_id: The identity.
        provider_names: The keys of the logins.
        developer_provider_name: The provider of the users to be merged or unlinked.
        token_duration_seconds: The duration of the token.
        principal_tag_keys: The keys of the tags.
        identity_ids: The identities to be deleted.
        region: The AWS Region of a call that concerns no single pool.
    """

    identity_pool_id: str = ""
    identity_id: str = ""
    provider_names: tuple[str, ...] = ()
    developer_provider_name: str = ""
    token_duration_seconds: int | None = None
    principal_tag_keys: tuple[str, ...] = ()
    identity_ids: tuple[str, ...] = ()
    region: str = ""


class AuditedResult(NamedTuple):
    """The result of a call in the log.

    Attributes:
        identity_id: The identity in the response.
        outcome: What the call did to that identity.
        key_id: The key that signed the token.
        expire_time: The token's `exp`.
        unprocessed_identity_ids: The identities in `identity_ids` of the request that were not deleted.
        identity_pool_id: The pool that was created.
        role_arn: The role of the credentials, which expire at `expire_time`.
    """

    identity_id: str | None = None
    outcome: str | None = None
    key_id: str | None = None
    expire_time: NumericDate | None = None
    unprocessed_identity_ids: tuple[str, ...] = ()
    identity_pool_id: str | None = None
    role_arn: str | None = None


class AuditEntry(NamedTuple):
    """A call in the log. No member can hold a login value, a user's identifier, a tag's value or a token.

    Attributes:
        event_time: Seconds since the Unix epoch.
        method: The operation, such as GetOpenIdTokenForDeveloperIdentity.
        caller: The name of the caller; empty if it is not known.
        authenticator: The authenticator that identified the caller, such as `mutual_tls`.
        source_address: The address of the client.
        user_agent: The user agent of the client.
        request: The request.
        request_id: The id of the call.
        trace_id: The id of its trace.
        result: The result.
        policy: The policy row that allowed the call.
        mapping: The setting that mapped a proxy's request to the operation.
        token_source: The source of a token that may be reused.
        error_code: The name of the gRPC status code of a call that failed.
        error_reason: The name of its error reason, if it has one.
        error_text: The text of the error for the caller.
        phase: `intent` in a line that was written before a change; None in a line with the outcome of a call.
        omitted: The number of omitted refusals of unknown callers.
    """

    event_time: float
    method: str
    caller: str = ""
    authenticator: str = ""
    source_address: str = ""
    user_agent: str = ""
    request: AuditedRequest = AuditedRequest()
    request_id: str = ""
    trace_id: str | None = None
    result: AuditedResult = AuditedResult()
    policy: str | None = None
    mapping: str | None = None
    token_source: str | None = None
    error_code: str | None = None
    error_reason: str | None = None
    error_text: str | None = None
    phase: str | None = None
    omitted: int = 0


#: The attributes about the caller and the request.
_REQUEST_FIELDS = slice(AuditEntry._fields.index("method"), AuditEntry._fields.index("request_id"))


def to_json(entry: AuditEntry, event_id: str) -> bytes:
    """Returns the line of a call, without its line end: a JSON object in ASCII.

    CloudTrail's members have CloudTrail's names and meanings, except that `userIdentity.type` is the authenticator of
    the caller (`Unknown` if there is none), `eventTime` has milliseconds, `resources` has no ARN, because no account is
    known here, and `errorCode` is the error reason, or the status code if there is no reason. Values of logins and of
    tags are hidden. Data for which CloudTrail has no member are in `additionalEventData`. In that member,
    `requestParameters` and `userIdentity`, absent values are omitted, as are the members of errors if a call succeeded.
    """
    asked = cast("tuple[Any, ...]", entry[_REQUEST_FIELDS])
    own = _call_members(entry, event_id)
    try:
        line = _request_json(asked)[:-1] + b"," + orjson.dumps(own)[1:]
    except TypeError:  # a lone surrogate
        line = b""
    # Escaped ASCII has no characters that end a line, change the direction of text or control a terminal.
    if 0 < len(line) <= MAX_WHOLE_LINE and line.isascii() and _DELETE not in line:
        return line
    event = _request_members(*asked) | own
    return json.dumps(_truncated(event), separators=(",", ":")).encode().replace(_DELETE, rb"\u007f")


def _request_members(  # noqa: PLR0913, PLR0917 - the attributes of `_REQUEST_FIELDS`
    method: str, caller: str, authenticator: str, source_address: str, user_agent: str, request: AuditedRequest
) -> dict[str, Any]:
    """Returns the members about the caller and the request."""
    identity_pool_id = request.identity_pool_id
    parameters = {
        "identityPoolId": identity_pool_id,
        "identityId": request.identity_id,
        "logins": _redacted(request.provider_names),
        "developerProviderName": request.developer_provider_name,
        "tokenDuration": request.token_duration_seconds,
        "principalTags": _redacted(request.principal_tag_keys),
        "identityIdsToDelete": _first(request.identity_ids, MAX_IDS),
    }
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": authenticator or "Unknown"} | ({"principalId": caller} if caller else {}),
        "eventSource": "tokend",
        "eventName": method,
        "awsRegion": request.region or identity_pool_id.rpartition(":")[0],
        "sourceIPAddress": source_address,
        "userAgent": user_agent,
        "requestParameters": {name: value for name, value in parameters.items() if value},
        "readOnly": method in _READ_ONLY,
        "resources": _POOL if identity_pool_id else (),
        "eventType": "TokendApiCall",
        "managementEvent": method in _MANAGEMENT,
        "eventCategory": "Management" if method in _MANAGEMENT else "Data",
    }


class _TooLong(Exception):
    """Raised with a rendered request that is too long to be cached."""

    def __init__(self, rendered: bytes) -> None:
        super().__init__()
        self.rendered = rendered


def _request_json(asked: tuple[Any, ...]) -> bytes:
    try:
        return _cached_request_json(*asked)
    except _TooLong as long:
        return long.rendered


@lru_cache(_MAX_REMEMBERED)
def _cached_request_json(*asked: Any) -> bytes:  # noqa: ANN401 - as `_request_members`
    """Renders the members about the request, which are equal for most calls of a caller's process.

    Raises:
        _TooLong: The request is too long to be cached: requests may have megabytes.
    """
    rendered = orjson.dumps(_request_members(*asked))
    *_, request = asked
    if len(rendered) > MAX_WHOLE_LINE or any(isinstance(each, tuple) and len(each) > MAX_NAMES for each in request):
        raise _TooLong(rendered)
    return rendered


def _call_members(entry: AuditEntry, event_id: str) -> dict[str, Any]:
    """Returns the members that differ between calls: their time and their outcome."""
    result = entry.result
    members: dict[str, Any] = {
        "eventTime": _milliseconds(entry.event_time),
        "responseElements": {"identityId": result.identity_id} if result.identity_id else None,
        "additionalEventData": _additional_event_data(entry),
        "requestID": entry.request_id,
        "eventID": event_id,
    }
    if result.identity_pool_id:
        members["responseElements"] = {"identityPoolId": result.identity_pool_id}
    if error := entry.error_reason or entry.error_code:
        members["errorCode"] = error
        members["errorMessage"] = entry.error_text or ""
    return members


def _additional_event_data(entry: AuditEntry) -> dict[str, Any]:
    result = entry.result
    members = {
        "outcome": result.outcome,
        "keyId": result.key_id,
        "unprocessedIdentityIds": _first(result.unprocessed_identity_ids, MAX_IDS),
        "roleArn": result.role_arn,
        "expireTime": None if result.expire_time is None else f"{_second(result.expire_time)}Z",
        "policy": entry.policy,
        "mapping": entry.mapping,
        "tokenSource": entry.token_source,
        "traceId": entry.trace_id,
        "grpcCode": entry.error_code,
        "phase": entry.phase,
        "omitted": entry.omitted,
    }
    return {name: value for name, value in members.items() if value}


def _redacted(names: Sequence[str]) -> dict[str, str]:
    return dict.fromkeys(_first(names, MAX_NAMES), HIDDEN)


def _first(texts: Sequence[str], most: int) -> Sequence[str]:
    return texts if len(texts) <= most else [*texts[: most - 1], _ELLIPSIS]


def _truncated(value: Any, most: int = MAX_TEXT) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {_truncated(name): _truncated(member, _MAX_TEXTS.get(name, MAX_TEXT)) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_truncated(each) for each in value]
    if not isinstance(value, str):
        return value
    # A lone surrogate cannot be encoded in UTF-8, and is written as an escape sequence.
    text = value[:most].encode(errors="backslashreplace").decode()
    return text if len(value) <= most else text[: most - 1] + _ELLIPSIS


def _milliseconds(time: float) -> str:
    milliseconds = round(time * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=128)
def _second(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S")
