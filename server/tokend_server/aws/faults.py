"""Which row of the tables a failure of boto3's belongs to."""

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from traceback import walk_tb
from typing import Any

from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    MetadataRetrievalError,
)
from urllib3.exceptions import HTTPError

from tokend_server.aws.fault_rows import CREDENTIALS_MODULE, MISCONFIGURED, Fault, Rows
from tokend_server.errors import (
    EngineCredentialsRejected,
    EngineMisconfigured,
    EngineUnavailable,
    RetryableError,
    TokendError,
    TooManyRequests,
)

_SERVER_ERROR = 500
_TOO_MANY_REQUESTS = 429
_NETWORK_AUTHENTICATION_REQUIRED = 511  # of a captive portal (RFC 6585)

#: Statuses of proxies that say something of the one request alone: 408, 413, 425, 431.
_OF_THE_REQUEST = frozenset({408, 413, 425, 431})

#: What AWS says to a signature that was made for another service or region than the one that answers.
_OTHER_SCOPE = re.compile(r"Credential should be scoped to (?:a valid region|correct service)")

#: What botocore says where the credentials of a container are not to be had.
_OF_A_CONTAINER = re.compile(r"Received non 200 response (\d+) from container metadata")

_REQUEST_ID = re.compile(r"[\w-]{1,100}", re.ASCII)

#: The end of a connection within TLS, as a network has it.
_ENDS_OF_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class Faults:
    """The tables of a service.

    Args:
        rows: What every service has.
        answers: The rows by the codes of its answers.
        exceptions: The rows by the names of botocore's exceptions.
        operations: What is called of it; only to renew credentials does a call make another one.
    """

    def __init__(
        self,
        rows: Rows,
        answers: Mapping[str, Fault],
        exceptions: Mapping[str, Fault | None],
        operations: frozenset[str],
    ) -> None:
        self._rows = rows
        self._answers = answers
        self._exceptions = exceptions
        self._operations = operations

    def row(self, error: Exception) -> Fault | None:
        """The row of what a call of boto3's raised; None for a defect.

        A defect is what neither AWS nor the way to it is to blame for.
        """
        return self._of_answer(error) if isinstance(error, ClientError) else self._of_exception(error)

    def may_pass(self, failure: Exception | str) -> bool:
        """Whether a call that met an exception, or a code, may succeed when it is made again."""
        fault = self._answers.get(failure) if isinstance(failure, str) else self._of_exception(failure)
        return fault is None or issubclass(fault.error, RetryableError)

    def label(self, failure: Exception | str) -> str:
        """The metric label of an exception or of an AWS error code: one of a bounded set.

        It is the code if there is a row for it, the class of botocore's own exceptions, and `other` for everything
        else.
        """
        if isinstance(failure, ClientError):
            failure = error_code(failure)
        if isinstance(failure, str):
            return failure if failure in self._answers else "other"
        return type(failure).__name__ if self._row_name(failure) else "other"

    def _of_answer(self, error: ClientError) -> Fault:
        rows = self._rows
        fault = self._answers.get(error_code(error)) or self._of_status(_metadata(error).get("HTTPStatusCode"), error)
        if error.operation_name in self._operations:
            return rows.other_endpoint if _OTHER_SCOPE.search(error_message(error)) else fault
        is_passing = issubclass(fault.error, TooManyRequests) or (
            fault.error is EngineUnavailable and fault is not rows.unknown
        )
        return rows.not_renewed_now if is_passing else rows.not_renewed

    def _of_status(self, status: object, error: ClientError) -> Fault:
        rows = self._rows
        if not isinstance(status, int):
            return rows.unknown
        if status == _TOO_MANY_REQUESTS:
            return rows.throttled
        if status >= _SERVER_ERROR and status != _NETWORK_AUTHENTICATION_REQUIRED:
            return rows.outage
        return rows.unknown if status in _OF_THE_REQUEST or _is_of_aws(status, error) else rows.not_service

    def _of_exception(self, error: Exception) -> Fault | None:
        if isinstance(error, TokendError):
            return None
        modules = [frame.f_globals.get("__name__", "") for frame, _line in walk_tb(error.__traceback__)]
        fault = self._of_what_arose(error, modules)
        return self._of_renewal(fault) if CREDENTIALS_MODULE in modules else fault

    def _of_what_arose(self, error: Exception, modules: Iterable[str]) -> Fault | None:
        """The row of an exception, whatever the call was at, by its class and the modules that it came through."""
        if name := self._row_name(error):
            return self._of_causes(error) or self._exceptions[name]
        # botocore lets some exceptions of other classes through: a token file that is not there, JSON that is no
        # object.
        arose_in = [module for module in modules if module in self._rows.leaks]
        if arose_in:
            return self._rows.leaks[arose_in[-1]]
        return self._rows.unreachable if isinstance(error, OSError | HTTPError) else None

    def _of_renewal(self, fault: Fault | None) -> Fault:
        """The row of what arose while credentials were had, from its row in a call of the service."""
        rows = self._rows
        if fault is not None and (fault.error is EngineCredentialsRejected or fault.text == MISCONFIGURED.text):
            return fault
        if fault is not None and fault.error is EngineUnavailable:
            return rows.not_renewed_now
        if fault is not None and fault.error is EngineMisconfigured:
            return rows.not_renewed_there
        return rows.leaks[CREDENTIALS_MODULE]  # such as an empty token file

    def _of_causes(self, error: Exception) -> Fault | None:
        """What lies behind an exception of botocore's, where that tells more than its class."""
        for cause in _causes(error):
            if isinstance(cause, _ENDS_OF_TLS):
                return self._rows.broken_off
            if isinstance(cause, HTTPException) and not _is_cut_off(cause):
                return self._rows.not_service
            if isinstance(cause, MetadataRetrievalError) and _may_be_had_later(cause):
                return self._rows.not_renewed_now
        return None

    def _row_name(self, error: Exception) -> str | None:
        """The name of the row for an exception of botocore's own: of its class or the nearest above it."""
        classes = type(error).__mro__
        names = (each.__name__ for each in classes if each.__module__ in {"botocore.exceptions", "botocore.parsers"})
        return next((name for name in names if name in self._exceptions), None)


def error_code(error: Exception) -> str:
    """The code of AWS's answer; empty if it is none."""
    return str(_answer(error).get("Error", {}).get("Code", ""))


def error_message(error: Exception) -> str:
    """The text of AWS's answer; empty if it is none."""
    return str(_answer(error).get("Error", {}).get("Message", ""))


def cancellation_reasons(error: Exception) -> frozenset[str]:
    """The codes of the reasons for which DynamoDB cancelled a transaction; none if it is no such answer."""
    return frozenset(str(each.get("Code")) for each in _answer(error).get("CancellationReasons", ()))


def request_id(error: Exception) -> str | None:
    """The id of the request that AWS answered, if it has the form of one."""
    metadata = _metadata(error)
    # botocore does not read it from an answer without a JSON body.
    found = metadata.get("RequestId") or metadata.get("HTTPHeaders", {}).get("x-amzn-requestid") or ""
    return found if _REQUEST_ID.fullmatch(found) else None


def _answer(error: Exception) -> Mapping[str, Any]:
    return error.response if isinstance(error, ClientError) else {}


def _metadata(error: Exception) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = _answer(error).get("ResponseMetadata", {})
    return metadata


def _is_of_aws(status: int, error: ClientError) -> bool:
    """Whether an error has the form of AWS's: a code, or a request id without the markup that others send."""
    # Without a code in the answer, botocore takes the status for one, and the body for the text.
    named = error_code(error) != str(status)
    return named or (request_id(error) is not None and not error_message(error).lstrip().startswith("<"))


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


def _may_be_had_later(error: MetadataRetrievalError) -> bool:
    """Whether credentials of a container, which were not to be had, may be another time.

    botocore has the status in the text alone. The answers of ECS and EKS Pod Identity below 500 are refusals.
    """
    if not (refused := _OF_A_CONTAINER.search(str(error))):
        return isinstance(error.__context__, ConnectTimeoutError | EndpointConnectionError | HTTPClientError)
    status = int(refused[1])
    return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR


def _is_cut_off(error: HTTPException) -> bool:
    """Whether what came was the beginning of HTTP."""
    begun = isinstance(error, BadStatusLine) and "HTTP/".startswith(str(error.args[0]).strip("'\"")[:5])
    return begun or isinstance(error, IncompleteRead | RemoteDisconnected)
