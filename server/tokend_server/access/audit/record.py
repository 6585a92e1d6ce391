"""The records of the audit log: one line of JSON each, shaped after CloudTrail's event for the same call."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson

from tokend_server.model import CognitoOperation, NumericDate, Operation, StsOperation

#: What stands for a value that is not shown.
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"

#: Bytes of a line up to which its texts are written whole, whatever a caller sends.
MAX_WHOLE_LINE = 4096

#: Characters of each text that are written in a longer line; a text that is cut ends in `…`.
MAX_TEXT = 256

#: The same of members that tell what nothing else does: a caller's name may be as long as a SPIFFE ID.
_MAX_TEXTS = {"principalId": 2048, "errorMessage": 2048}

#: Names of logins, and of tags, that are written; where there are more, the last one is `…`.
MAX_NAMES = 50

#: Ids of identities that are written, as many as a request may have; where there are more, the last one is `…`.
MAX_IDS = 60

_CUT = "…"

#: The event of a line that tells how many refusals have none.
OMITTED_REFUSALS = "OmittedRefusals"

_READ_ONLY = frozenset({OMITTED_REFUSALS, *(each for each in (*Operation, *CognitoOperation) if each.is_read_only)})

#: What CloudTrail calls management events, of the operations that the contract does not have.
_MANAGEMENT = frozenset({*StsOperation, *(operation for operation in CognitoOperation if operation.is_signed)})

#: How many requests are remembered rendered.
_REMEMBERED = 1024

_POOL = ({"type": "AWS::Cognito::IdentityPool"},)


#: The one control character that JSON does not escape.
_DELETE = b"\x7f"


class AuditedRequest(NamedTuple):
    """What a request asks for, as `AuditEntry` names it."""

    identity_pool_id: str = ""
    identity_id: str = ""
    provider_names: tuple[str, ...] = ()
    developer_provider_name: str = ""
    token_duration_seconds: int | None = None
    principal_tag_keys: tuple[str, ...] = ()
    identity_ids: tuple[str, ...] = ()
    region: str = ""


class AuditedResult(NamedTuple):
    """What came of a call, as `AuditEntry` names it."""

    result_identity_id: str | None = None
    outcome: str | None = None
    key_id: str | None = None
    expire_time: NumericDate | None = None
    unprocessed_identity_ids: tuple[str, ...] = ()
    result_identity_pool_id: str | None = None
    role_arn: str | None = None


class AuditEntry(NamedTuple):
    """A call in the log. There is no place in it for a login value, a user's identifier, a tag's value or a token.

    Attributes:
        event_time: Seconds since the Unix epoch.
        method: The operation, such as GetOpenIdTokenForDeveloperIdentity.
        caller: Who calls; empty while that is not known.
        authenticator: What said so, such as `mutual_tls`.
        source_address: Where it came from.
        user_agent: What the caller's software calls itself.
        identity_pool_id: The pool that was asked for.
        identity_id: The identity that was asked for.
        provider_names: The keys of the logins.
        developer_provider_name: The provider whose users were to be merged or unlinked.
        token_duration_seconds: The duration that was asked for.
        principal_tag_keys: The keys of the tags that were asked for.
        identity_ids: The identities that were to be deleted.
        region: The AWS Region of what is about no one pool.
        request_id: The id of the call.
        trace_id: The trace that it belongs to.
        result_identity_id: The identity of the answer.
        outcome: What the call did to that identity.
        key_id: The key that signed the token.
        expire_time: The token's `exp`.
        unprocessed_identity_ids: Those of `identity_ids` that were not deleted.
        result_identity_pool_id: The pool that was made.
        role_arn: The role of the credentials, which expire at `expire_time`.
        policy: The row of the policy that decided.
        mapping: By what the configuration made the operation of a proxy's request.
        token_source: Where the token came from, of those that are given out again.
        error_code: The name of the gRPC status code of a call that failed.
        error_reason: The name of its error reason, if it has one.
        error_text: The text of the error that the caller gets.
        phase: `intent` of a line that was written before a change; None of one that tells what came of a call.
        omitted: How many refusals of callers who are not known have no line of their own.
    """

    event_time: float
    method: str
    caller: str = ""
    authenticator: str = ""
    source_address: str = ""
    user_agent: str = ""
    identity_pool_id: str = ""
    identity_id: str = ""
    provider_names: tuple[str, ...] = ()
    developer_provider_name: str = ""
    token_duration_seconds: int | None = None
    principal_tag_keys: tuple[str, ...] = ()
    identity_ids: tuple[str, ...] = ()
    region: str = ""
    request_id: str = ""
    trace_id: str | None = None
    result_identity_id: str | None = None
    outcome: str | None = None
    key_id: str | None = None
    expire_time: NumericDate | None = None
    unprocessed_identity_ids: tuple[str, ...] = ()
    result_identity_pool_id: str | None = None
    role_arn: str | None = None
    policy: str | None = None
    mapping: str | None = None
    token_source: str | None = None
    error_code: str | None = None
    error_reason: str | None = None
    error_text: str | None = None
    phase: str | None = None
    omitted: int = 0


#: The attributes that tell who asked for what.
_ASKED = slice(AuditEntry._fields.index("method"), AuditEntry._fields.index("request_id"))


def to_json(entry: AuditEntry, event_id: str) -> bytes:
    """The line of a call, without its end: a JSON object in ASCII.

    CloudTrail's members have CloudTrail's names and meanings, except that `userIdentity.type` says how the caller
    became known (`Unknown` if it is not), `eventTime` has milliseconds, `resources` has no ARN, since no account is
    known here, and `errorCode` is the error reason, or the status code where there is none. Values of logins and of
    tags are hidden. What CloudTrail has no member for is in `additionalEventData`. Within that, `requestParameters` and
    `userIdentity`, what was not given or not reached is left out, as are the error's members of a call that succeeded.
    """
    asked = cast("tuple[Any, ...]", entry[_ASKED])
    own = _own_members(entry, event_id)
    try:
        line = _asked_json(asked)[:-1] + b"," + orjson.dumps(own)[1:]
    except TypeError:  # a lone surrogate
        line = b""
    # ASCII has no characters that end a line, turn the direction of text or command a terminal.
    if 0 < len(line) <= MAX_WHOLE_LINE and line.isascii() and _DELETE not in line:
        return line
    event = _asked_members(*asked) | own
    return json.dumps(_cut(event), separators=(",", ":")).encode().replace(_DELETE, rb"\u007f")


def _asked_members(  # noqa: PLR0913, PLR0917 - what `_ASKED` names
    method: str,
    caller: str,
    authenticator: str,
    source_address: str,
    user_agent: str,
    identity_pool_id: str,
    identity_id: str,
    provider_names: tuple[str, ...],
    developer_provider_name: str,
    token_duration_seconds: int | None,
    principal_tag_keys: tuple[str, ...],
    identity_ids: tuple[str, ...],
    region: str,
) -> dict[str, Any]:
    """The members that tell who asked for what."""
    parameters = {
        "identityPoolId": identity_pool_id,
        "identityId": identity_id,
        "logins": _hidden(provider_names),
        "developerProviderName": developer_provider_name,
        "tokenDuration": token_duration_seconds,
        "principalTags": _hidden(principal_tag_keys),
        "identityIdsToDelete": _first(identity_ids, MAX_IDS),
    }
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": authenticator or "Unknown"} | ({"principalId": caller} if caller else {}),
        "eventSource": "tokend",
        "eventName": method,
        "awsRegion": region or identity_pool_id.rpartition(":")[0],
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
    """Raised with what was rendered where it is not to be remembered."""

    def __init__(self, rendered: bytes) -> None:
        super().__init__()
        self.rendered = rendered


def _asked_json(asked: tuple[Any, ...]) -> bytes:
    try:
        return _remembered_json(*asked)
    except _TooLong as long:
        return long.rendered


@lru_cache(_REMEMBERED)
def _remembered_json(*asked: Any) -> bytes:  # noqa: ANN401 - as `_asked_members`
    """The same for all calls of a caller's process that ask for as much, which most do.

    Raises:
        _TooLong: A request may have megabytes, of which as many would be kept as are remembered.
    """
    rendered = orjson.dumps(_asked_members(*asked))
    if len(rendered) > MAX_WHOLE_LINE or any(isinstance(each, tuple) and len(each) > MAX_NAMES for each in asked):
        raise _TooLong(rendered)
    return rendered


def _own_members(entry: AuditEntry, event_id: str) -> dict[str, Any]:
    """The members that are a call's own: when it was, and what came of it."""
    members: dict[str, Any] = {
        "eventTime": _milliseconds(entry.event_time),
        "responseElements": {"identityId": entry.result_identity_id} if entry.result_identity_id else None,
        "additionalEventData": _additional_event_data(entry),
        "requestID": entry.request_id,
        "eventID": event_id,
    }
    if entry.result_identity_pool_id:
        members["responseElements"] = {"identityPoolId": entry.result_identity_pool_id}
    if error := entry.error_reason or entry.error_code:
        members["errorCode"] = error
        members["errorMessage"] = entry.error_text or ""
    return members


def _additional_event_data(entry: AuditEntry) -> dict[str, Any]:
    members = {
        "outcome": entry.outcome,
        "keyId": entry.key_id,
        "unprocessedIdentityIds": _first(entry.unprocessed_identity_ids, MAX_IDS),
        "roleArn": entry.role_arn,
        "expireTime": None if entry.expire_time is None else f"{_second(entry.expire_time)}Z",
        "policy": entry.policy,
        "mapping": entry.mapping,
        "tokenSource": entry.token_source,
        "traceId": entry.trace_id,
        "grpcCode": entry.error_code,
        "phase": entry.phase,
        "omitted": entry.omitted,
    }
    return {name: value for name, value in members.items() if value}


def _hidden(names: Sequence[str]) -> dict[str, str]:
    return dict.fromkeys(_first(names, MAX_NAMES), HIDDEN)


def _first(texts: Sequence[str], most: int) -> Sequence[str]:
    return texts if len(texts) <= most else [*texts[: most - 1], _CUT]


def _cut(value: Any, most: int = MAX_TEXT) -> Any:  # noqa: ANN401 - whatever JSON can hold
    if isinstance(value, dict):
        return {_cut(name): _cut(member, _MAX_TEXTS.get(name, MAX_TEXT)) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(each) for each in value]
    if not isinstance(value, str):
        return value
    # A lone surrogate has no UTF-8, and is written as its number.
    text = value[:most].encode(errors="backslashreplace").decode()
    return text if len(value) <= most else text[: most - 1] + _CUT


def _milliseconds(time: float) -> str:
    milliseconds = round(time * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=128)
def _second(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S")
