"""Converts errors of boto3 calls to errors of the contract, by the tables of `fault_rows`."""

import re
from collections.abc import Iterable

from botocore.exceptions import ClientError

from tokend_server.aws import faults as aws_faults
from tokend_server.aws.fault_rows import Fault
from tokend_server.engines.cognito.aws_texts import field_violations, resource_not_found, safe_text, shortened
from tokend_server.engines.cognito.fault_rows import ERROR_CODES, EXCEPTIONS, ROWS
from tokend_server.errors import LimitExceeded, ResourceNotFound, TokendError, ValidationFailed
from tokend_server.model import Operation, Secret

_NO_TEXT = "Cognito gives no reason."
_CALLERS_BUSINESS = "Cognito accepted the credentials and refused the request: the request is wrong, not the service."
_CODE = re.compile(r"[A-Za-z][\w.]{2,99}", re.ASCII)

#: The operations outside the contract with which a whole pool is read.
_OF_A_READING = frozenset({"DescribeIdentityPool", "ListIdentities"})

#: Cognito's tables.
FAULTS = aws_faults.Faults(ROWS, ERROR_CODES, EXCEPTIONS, _OF_A_READING | frozenset(Operation))


def to_domain(
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
        return _of_answer(error, fault, tuple(request_secrets), (identity_pool_id, identity_id or ""))
    return _advised(fault.error(fault.text or _NO_TEXT), fault)


def plain_words(error: TokendError | str) -> str:
    """Returns advice for operators about an error from `to_domain`, or about an AWS error code.

    For errors that the caller has caused, it returns the error's text, or for a code that the caller has caused it.
    """
    if isinstance(error, str):
        return ERROR_CODES.get(error, ROWS.unknown).advice or _CALLERS_BUSINESS
    return error.advice or error.text


def _of_answer(error: ClientError, fault: Fault, secrets: tuple[Secret, ...], ids: tuple[str, str]) -> TokendError:
    code = aws_faults.error_code(error)
    said = safe_text(error.response.get("Error", {}).get("Message"), secrets, ids)
    domain_error = _advised(_built(fault, said or _NO_TEXT, ids), fault)
    if code in ERROR_CODES or (_CODE.fullmatch(code) and safe_text(code, secrets, ()) == code):
        domain_error.aws_error_code = code
    request_id = aws_faults.request_id(error)
    if request_id and safe_text(request_id, secrets, ()) == request_id:
        domain_error.aws_request_id = request_id
    return domain_error


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
