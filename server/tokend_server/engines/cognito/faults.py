"""What goes wrong in a call of boto3's becomes an error of the contract, by the tables of `fault_rows`."""

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from traceback import walk_tb
from typing import Any

from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from tokend_server.engines.cognito.aws_texts import field_violations, resource_not_found, safe_text, shortened
from tokend_server.engines.cognito.fault_rows import (
    ANSWERS,
    BROKEN_OFF,
    CREDENTIALS_NOT_RENEWED,
    CREDENTIALS_NOT_RENEWED_NOW,
    EXCEPTIONS,
    LEAKS,
    NOT_COGNITO,
    OTHER_ENDPOINT,
    OUTAGE,
    THROTTLED,
    UNKNOWN,
    UNREACHABLE,
    Fault,
)
from tokend_server.errors import (
    EngineUnavailable,
    LimitExceeded,
    ResourceNotFound,
    RetryableError,
    TokendError,
    TooManyRequests,
    ValidationFailed,
)
from tokend_server.model import Operation, Secret

_NO_TEXT = "Cognito gives no reason."
_CALLERS_BUSINESS = "Cognito took the credentials and refused what was asked: the request is wrong, not the service."
_CODE = re.compile(r"[A-Za-z][\w.]{2,99}", re.ASCII)
_REQUEST_ID = re.compile(r"[\w-]{1,100}", re.ASCII)
_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_NETWORK_AUTHENTICATION_REQUIRED = 511  # of a captive portal (RFC 6585)

#: Statuses of proxies that say something of the one request alone: 408, 413, 425, 431.
_OF_THE_REQUEST = frozenset({408, 413, 425, 431})

#: What AWS says to a signature that was made for another service or region than the one that answers.
_OTHER_SCOPE = re.compile(r"Credential should be scoped to (?:a valid region|correct service)")

#: The end of a connection within TLS, as a network has it.
_ENDS_OF_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def to_domain(
    error: Exception, request_secrets: Iterable[Secret], identity_pool_id: str, identity_id: str | None = None
) -> TokendError | None:
    """The contract's error for what a call of boto3's raised.

    It carries AWS's code and request id where AWS answered, and what an operator should do. AWS's text is
    passed on where it is about the request, without secrets; what is about the service's own standing with AWS has
    a text of its own.

    Args:
        error: What was raised.
        request_secrets: Login values and developer user identifiers of the request.
        identity_pool_id: The pool of the request.
        identity_id: The identity that the request names.

    Returns:
        The error, or None for a defect: what neither AWS nor the way to it is to blame for.
    """
    secrets = tuple(request_secrets)
    ids = (identity_pool_id, identity_id or "")
    if isinstance(error, ClientError):
        return _of_answer(error, secrets, ids)
    fault = _fault_of_exception(error)
    return None if fault is None else _advised(fault.error(fault.text or _NO_TEXT), fault)


def failure_label(error: Exception | str) -> str:
    """The metric label of an exception or of an AWS error code: one of a bounded set.

    It is the code if there is a row for it, the class of botocore's own exceptions, and `other` for everything else.
    """
    if isinstance(error, ClientError):
        error = _code(error)
    if isinstance(error, str):
        return error if error in ANSWERS else "other"
    return type(error).__name__ if _row_name(error) else "other"


def plain_words(error: TokendError | str) -> str:
    """What an operator should do about an error that `to_domain` made, or about an AWS error code.

    Of what is the caller's business, an error tells its text, and a code that it is.
    """
    if isinstance(error, str):
        return ANSWERS.get(error, UNKNOWN).advice or _CALLERS_BUSINESS
    return error.advice or error.text


def _of_answer(error: ClientError, secrets: tuple[Secret, ...], ids: tuple[str, str]) -> TokendError:
    code = _code(error)
    fault = _fault_of_answer(error)
    said = safe_text(error.response.get("Error", {}).get("Message"), secrets, ids)
    domain_error = _advised(_built(fault, said or _NO_TEXT, ids), fault)
    if code in ANSWERS or (_CODE.fullmatch(code) and safe_text(code, secrets, ()) == code):
        domain_error.aws_error_code = code
    domain_error.aws_request_id = _request_id(error, secrets)
    return domain_error


def may_pass(error: Exception) -> bool:
    """Whether the call that met an exception without an answer may succeed when it is made again."""
    fault = _fault_of_exception(error)
    return fault is None or issubclass(fault.error, RetryableError)


def _fault_of_answer(error: ClientError) -> Fault:
    fault = ANSWERS.get(_code(error)) or _fault_of_status(_metadata(error).get("HTTPStatusCode"), error)
    if error.operation_name in frozenset(Operation):
        return OTHER_ENDPOINT if _OTHER_SCOPE.search(_message(error)) else fault
    # Only to renew the credentials does a call make another one.
    is_passing = issubclass(fault.error, TooManyRequests) or (fault.error is EngineUnavailable and fault is not UNKNOWN)
    return CREDENTIALS_NOT_RENEWED_NOW if is_passing else CREDENTIALS_NOT_RENEWED


def _fault_of_status(status: object, error: ClientError) -> Fault:
    if not isinstance(status, int):
        return UNKNOWN
    if status == _TOO_MANY_REQUESTS:
        return THROTTLED
    if status >= _SERVER_ERROR and status != _NETWORK_AUTHENTICATION_REQUIRED:
        return OUTAGE
    return UNKNOWN if status in _OF_THE_REQUEST or _is_of_aws(status, error) else NOT_COGNITO


def _is_of_aws(status: int, error: ClientError) -> bool:
    """Whether an error has the form of Cognito's: a code, or a request id without the markup that others send."""
    # Without a code in the answer, botocore takes the status for one, and the body for the text.
    named = _code(error) != str(status)
    return named or (_request_id(error, ()) is not None and not _message(error).lstrip().startswith("<"))


def _fault_of_exception(error: Exception) -> Fault | None:
    if name := _row_name(error):
        return _fault_of_causes(error) or EXCEPTIONS[name]
    if isinstance(error, TokendError):
        return None
    # botocore lets some exceptions of other classes through: a token file that is not there, JSON that is no object.
    modules = (frame.f_globals.get("__name__", "") for frame, _line in walk_tb(error.__traceback__))
    arose_in = [module for module in modules if module in LEAKS]
    if arose_in:
        return LEAKS[arose_in[-1]]
    return UNREACHABLE if isinstance(error, OSError | HTTPError) else None


def _fault_of_causes(error: Exception) -> Fault | None:
    """What lies behind an exception of botocore's, where that tells more than its class."""
    for cause in _causes(error):
        if isinstance(cause, _ENDS_OF_TLS):
            return BROKEN_OFF
        if isinstance(cause, HTTPException) and not _is_cut_off(cause):
            return NOT_COGNITO
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that an exception carries; urllib3 and botocore have them in several places."""
    seen, waiting = {id(error)}, [error]
    while waiting:
        each = waiting.pop()
        carried = (*getattr(each, "kwargs", {}).values(), *each.args, each.__cause__, each.__context__)
        found = [other for other in carried if isinstance(other, BaseException) and id(other) not in seen]
        seen.update(map(id, found))
        waiting += found
        yield from found


def _is_cut_off(error: HTTPException) -> bool:
    """Whether what came was the beginning of HTTP."""
    begun = isinstance(error, BadStatusLine) and "HTTP/".startswith(str(error.args[0]).strip("'\"")[:5])
    return begun or isinstance(error, IncompleteRead | RemoteDisconnected)


def _row_name(error: Exception) -> str | None:
    """The name of the row for an exception of botocore's own: of its class or the nearest above it."""
    classes = type(error).__mro__
    names = (each.__name__ for each in classes if each.__module__ in {"botocore.exceptions", "botocore.parsers"})
    return next((name for name in names if name in EXCEPTIONS), None)


def _built(fault: Fault, said: str, ids: tuple[str, str]) -> TokendError:
    if fault.error is ValidationFailed:
        return ValidationFailed(field_violations(said))
    if fault.error is ResourceNotFound:
        return resource_not_found(said)
    text = fault.text or shortened(said)
    if fault.error is LimitExceeded:
        return LimitExceeded(text, subject=ids[1] or ids[0])
    return fault.error(text)


def _advised(error: TokendError, fault: Fault) -> TokendError:
    error.advice = fault.advice
    return error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def _metadata(error: ClientError) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    return metadata


def _request_id(error: ClientError, secrets: tuple[Secret, ...]) -> str | None:
    metadata = _metadata(error)
    # botocore does not read it from an answer without a JSON body.
    found = metadata.get("RequestId") or metadata.get("HTTPHeaders", {}).get("x-amzn-requestid") or ""
    return found if _REQUEST_ID.fullmatch(found) and safe_text(found, secrets, ()) == found else None
