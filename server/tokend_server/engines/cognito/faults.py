"""Converts errors of boto3 calls to errors of the contract, by the tables of `fault_rows`."""

import re
from collections.abc import Iterable

from botocore.exceptions import ClientError

from tokend_server.aws import faults as aws_faults
from tokend_server.aws.fault_rows import Fault
from tokend_server.engines.cognito.aws_texts import field_violations, resource_not_found, safe_text, truncated
from tokend_server.engines.cognito.fault_rows import ERROR_CODES, EXCEPTIONS, ROWS
from tokend_server.errors import LimitExceeded, ResourceNotFound, TokendError, ValidationFailed
from tokend_server.model import Operation, Secret

_NO_TEXT = "Cognito gives no reason."
_CODE = re.compile(r"[A-Za-z][\w.]{2,99}", re.ASCII)

#: The operations outside the contract with which a whole pool is read.
_POOL_READ_OPERATIONS = frozenset({"DescribeIdentityPool", "ListIdentities"})

#: Cognito's tables.
FAULTS = aws_faults.Faults(ROWS, ERROR_CODES, EXCEPTIONS, _POOL_READ_OPERATIONS | frozenset(Operation))


def to_contract_error(
    error: Exception, request_secrets: Iterable[Secret], identity_pool_id: str, identity_id: str | None = None
) -> TokendError | None:
    """Returns the contract's error for an error of a boto3 call.

    It contains AWS's code and request id if AWS responded, and advice for operators. AWS's text is passed on, without
    secrets, if it is about the request; errors about the service's own access to AWS have their own texts.

    Args:
        error: The error.
        request_secrets: Login values and developer user identifiers of the request.
        identity_pool_id: The pool of the request.
        identity_id: The identity in the request.

    Returns:
        The contract's error, or None for a defect of tokend.
    """
    fault = FAULTS.row(error)
    if fault is None:
        return None
    if isinstance(error, ClientError):
        return _to_response_error(error, fault, tuple(request_secrets), (identity_pool_id, identity_id or ""))
    return fault.error(fault.text or _NO_TEXT).with_advice(fault.advice)


def _to_response_error(
    error: ClientError, fault: Fault, secrets: tuple[Secret, ...], ids: tuple[str, str]
) -> TokendError:
    code = aws_faults.error_code(error)
    message = safe_text(error.response.get("Error", {}).get("Message"), secrets, ids)
    contract_error = _to_error(fault, message or _NO_TEXT, ids).with_advice(fault.advice)
    if code in ERROR_CODES or (_CODE.fullmatch(code) and safe_text(code, secrets, ()) == code):
        contract_error.aws_error_code = code
    request_id = aws_faults.request_id(error)
    if request_id and safe_text(request_id, secrets, ()) == request_id:
        contract_error.aws_request_id = request_id
    return contract_error


def _to_error(fault: Fault, message: str, ids: tuple[str, str]) -> TokendError:
    if fault.error is ValidationFailed:
        return ValidationFailed(field_violations(message))
    if fault.error is ResourceNotFound:
        return resource_not_found(message)
    text = fault.text or truncated(message)
    if fault.error is LimitExceeded:
        return LimitExceeded(text, subject=ids[1] or ids[0])
    return fault.error(text)
