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

#: Statuses of proxies that concern only the single request: 408, 413, 425, 431.
_REQUEST_STATUSES = frozenset({408, 413, 425, 431})

#: The beginnings of AWS's texts about a signature for another service or Region than that of the endpoint.
_OTHER_SCOPE = re.compile(r"Credential should be scoped to (?:a valid region|correct service)")

#: The text of botocore if the credentials of a container cannot be fetched.
_CONTAINER_REFUSAL = re.compile(r"Received non 200 response (\d+) from container metadata")

_REQUEST_ID = re.compile(r"[\w-]{1,100}", re.ASCII)

#: Errors of a connection that was closed within TLS.
_TLS_CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


class Faults:
    """The tables of a service.

    Args:
        rows: The rows that are common to all services.
        error_codes: The rows by the codes of its responses.
        exceptions: The rows by the names of botocore's exceptions.
        operations: The operations that are called; other operations are only called to renew credentials.
    """

    def __init__(
        self,
        rows: Rows,
        error_codes: Mapping[str, Fault],
        exceptions: Mapping[str, Fault | None],
        operations: frozenset[str],
    ) -> None:
        self._rows = rows
        self._error_codes = error_codes
        self._exceptions = exceptions
        self._operations = operations

    def row(self, error: Exception) -> Fault | None:
        """Returns the row for an error of a boto3 call; None for a defect of tokend.

        A defect is an error that neither AWS nor the network has caused.
        """
        return self._row_of_response(error) if isinstance(error, ClientError) else self._row_of_error(error)

    def is_transient(self, failure: Exception | str) -> bool:
        """Returns whether a retry of a call with an exception or an error code may succeed."""
        fault = self._error_codes.get(failure) if isinstance(failure, str) else self._row_of_error(failure)
        return fault is None or issubclass(fault.error, RetryableError)

    def label(self, failure: Exception | str) -> str:
        """Returns the metric label of an exception or of an AWS error code, from a bounded set.

        It is the code if there is a row for it, the class of botocore's own exceptions, and `other` for everything
        else.
        """
        if isinstance(failure, ClientError):
            failure = error_code(failure)
        if isinstance(failure, str):
            return failure if failure in self._error_codes else "other"
        return type(failure).__name__ if self._row_name(failure) else "other"

    def _row_of_response(self, error: ClientError) -> Fault:
        rows = self._rows
        fault = self._error_codes.get(error_code(error)) or self._row_of_status(
            _metadata(error).get("HTTPStatusCode"), error
        )
        if error.operation_name in self._operations:
            return rows.other_endpoint if _OTHER_SCOPE.search(error_message(error)) else fault
        is_passing = issubclass(fault.error, TooManyRequests) or (
            fault.error is EngineUnavailable and fault is not rows.unknown
        )
        return rows.not_renewed_now if is_passing else rows.not_renewed

    def _row_of_status(self, status: object, error: ClientError) -> Fault:
        rows = self._rows
        if not isinstance(status, int):
            return rows.unknown
        if status == _TOO_MANY_REQUESTS:
            return rows.throttled
        if status >= _SERVER_ERROR and status != _NETWORK_AUTHENTICATION_REQUIRED:
            return rows.outage
        return rows.unknown if status in _REQUEST_STATUSES or _is_of_aws(status, error) else rows.not_service

    def _row_of_error(self, error: Exception) -> Fault | None:
        if isinstance(error, TokendError):
            return None
        modules = [frame.f_globals.get("__name__", "") for frame, _line in walk_tb(error.__traceback__)]
        fault = self._row_of_exception(error, modules)
        return self._row_of_renewal(fault) if CREDENTIALS_MODULE in modules else fault

    def _row_of_exception(self, error: Exception, modules: Iterable[str]) -> Fault | None:
        """Returns the row for an exception, by its class and the modules in its traceback."""
        if name := self._row_name(error):
            return self._row_of_causes(error) or self._exceptions[name]
        # botocore passes on some exceptions of other classes: a missing token file, JSON that is not an object.
        arose_in = [module for module in modules if module in self._rows.leaks]
        if arose_in:
            return self._rows.leaks[arose_in[-1]]
        return self._rows.unreachable if isinstance(error, OSError | HTTPError) else None

    def _row_of_renewal(self, fault: Fault | None) -> Fault:
        """Returns the row for an error during the renewal of credentials, from its row in a call to the service."""
        rows = self._rows
        if fault is not None and (fault.error is EngineCredentialsRejected or fault.text == MISCONFIGURED.text):
            return fault
        if fault is not None and fault.error is EngineUnavailable:
            return rows.not_renewed_now
        if fault is not None and fault.error is EngineMisconfigured:
            return rows.not_renewed_there
        return rows.leaks[CREDENTIALS_MODULE]  # such as an empty token file

    def _row_of_causes(self, error: Exception) -> Fault | None:
        """Returns the row for the cause of a botocore exception, if it is more specific than its class."""
        for cause in _causes(error):
            if isinstance(cause, _TLS_CLOSED):
                return self._rows.connection_closed
            if isinstance(cause, HTTPException) and not _is_truncated(cause):
                return self._rows.not_service
            if isinstance(cause, MetadataRetrievalError) and _is_transient_metadata_error(cause):
                return self._rows.not_renewed_now
        return None

    def _row_name(self, error: Exception) -> str | None:
        """Returns the name of the row for a botocore exception: its class, or the nearest base class."""
        classes = type(error).__mro__
        names = (each.__name__ for each in classes if each.__module__ in {"botocore.exceptions", "botocore.parsers"})
        return next((name for name in names if name in self._exceptions), None)


def error_code(error: Exception) -> str:
    """Returns the code in AWS's response; empty if it is not a response."""
    return str(_response(error).get("Error", {}).get("Code", ""))


def error_message(error: Exception) -> str:
    """Returns the text in AWS's response; empty if it is not a response."""
    return str(_response(error).get("Error", {}).get("Message", ""))


def cancellation_reasons(error: Exception) -> frozenset[str]:
    """Returns the codes of DynamoDB's reasons for cancelling a transaction; empty for other responses."""
    return frozenset(str(each.get("Code")) for each in _response(error).get("CancellationReasons", ()))


def request_id(error: Exception) -> str | None:
    """Returns the id of the request in AWS's response, if it is valid."""
    metadata = _metadata(error)
    # botocore does not read it from a response without a JSON body.
    found = metadata.get("RequestId") or metadata.get("HTTPHeaders", {}).get("x-amzn-requestid") or ""
    return found if _REQUEST_ID.fullmatch(found) else None


def _response(error: Exception) -> Mapping[str, Any]:
    return error.response if isinstance(error, ClientError) else {}


def _metadata(error: Exception) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = _response(error).get("ResponseMetadata", {})
    return metadata


def _is_of_aws(status: int, error: ClientError) -> bool:
    """Returns whether an error has AWS's format: a code, or a request id without markup."""
    # Without a code in the response, botocore uses the status as the code, and the body as the text.
    named = error_code(error) != str(status)
    return named or (request_id(error) is not None and not error_message(error).lstrip().startswith("<"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields the causes of an exception, which urllib3 and botocore store in several attributes."""
    seen, waiting = {id(error)}, [error]
    while waiting:
        each = waiting.pop()
        candidates = (*getattr(each, "kwargs", {}).values(), *each.args, each.__cause__, each.__context__)
        found = [other for other in candidates if isinstance(other, BaseException) and id(other) not in seen]
        seen.update(map(id, found))
        waiting += found
        yield from found


def _is_transient_metadata_error(error: MetadataRetrievalError) -> bool:
    """Returns whether a failure to fetch a container's credentials is transient.

    botocore has the status only in the text. Responses of ECS and EKS Pod Identity below 500 are refusals.
    """
    if not (refused := _CONTAINER_REFUSAL.search(str(error))):
        return isinstance(error.__context__, ConnectTimeoutError | EndpointConnectionError | HTTPClientError)
    status = int(refused[1])
    return status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR


def _is_truncated(error: HTTPException) -> bool:
    """Returns whether the received data were the beginning of an HTTP response."""
    is_beginning = isinstance(error, BadStatusLine) and "HTTP/".startswith(str(error.args[0]).strip("'\"")[:5])
    return is_beginning or isinstance(error, IncompleteRead | RemoteDisconnected)
