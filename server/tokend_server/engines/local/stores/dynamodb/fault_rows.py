"""The tables of DynamoDB's errors, and of the errors of the local engine that they become; used by `table`.

Source of the codes: "Error handling with DynamoDB" of the developer guide, and the API reference of TransactWriteItems.
"""

from collections.abc import Mapping
from enum import Enum

from tokend_server.aws.fault_rows import Fault, Service, rows_of
from tokend_server.aws.faults import Faults
from tokend_server.errors import EngineMisconfigured, EngineUnavailable

_THROTTLED = Fault(
    EngineUnavailable,
    "The identity store is throttled.",
    "DynamoDB throttles the table or the account. Check ThrottledRequests in CloudWatch; give the table on-demand or "
    "more capacity, or request an increase of the account's quota in Service Quotas.",
)

ROWS = rows_of(
    Service(
        name="DynamoDB",
        endpoint="endpoint_url in store.url, AWS_ENDPOINT_URL",
        rights="what server/dynamodb.md lists on the table and, if it has one of its own, on its KMS key",
        throttled=_THROTTLED,
    )
)

_NO_TABLE = Fault(
    EngineMisconfigured,
    "The identity store has no table.",
    "DynamoDB has no table with the name in store.url in this region and account. Check these, or create it with "
    "`tokend migrate`.",
)
_OTHER_TABLE = Fault(
    EngineMisconfigured,
    "The identity store rejects the request.",
    "DynamoDB rejects the request as malformed, as it does if the table is not one of tokend's. Check store.url.",
)
_CONTENDED = Fault(EngineUnavailable, "The identity is being changed by too many calls at once.")
_UNKNOWN_OPERATION = Fault(
    EngineMisconfigured,
    "The identity store lacks an operation.",
    "The endpoint is not DynamoDB, or lacks the operation, as some emulators do. Check endpoint_url in store.url.",
)
_TABLE_CHANGING = Fault(
    EngineUnavailable,
    "The identity store's table is being changed.",
    "DynamoDB is creating, changing or deleting the table, or too many tables. Try again later.",
)

#: By the code of DynamoDB's response.
ERROR_CODES: Mapping[str, Fault] = {
    "ResourceNotFoundException": _NO_TABLE,
    "TableNotFoundException": _NO_TABLE,
    "ValidationException": _OTHER_TABLE,
    "ConditionalCheckFailedException": _CONTENDED,
    "TransactionCanceledException": _CONTENDED,
    "TransactionConflictException": _CONTENDED,
    "TransactionInProgressException": _CONTENDED,
    "ReplicatedWriteConflictException": _CONTENDED,
    # Each transaction has its own token: a request with the same token is from another client.
    "IdempotentParameterMismatchException": _OTHER_TABLE,
    "ItemCollectionSizeLimitExceededException": _OTHER_TABLE,
    "ProvisionedThroughputExceededException": _THROTTLED,
    "ContinuousBackupsUnavailableException": _TABLE_CHANGING,
    "LimitExceededException": _TABLE_CHANGING,
    "ResourceInUseException": _TABLE_CHANGING,
    "InternalServerErrorException": ROWS.outage,
    "InvalidEndpointException": ROWS.not_service,
    "UnknownOperationException": _UNKNOWN_OPERATION,
    **ROWS.error_codes,
}

#: By the class of botocore's exception; the store's requests are well-formed.
EXCEPTIONS: Mapping[str, Fault | None] = ROWS.exceptions

#: The operations that are called.
OPERATIONS = frozenset(
    {
        "BatchGetItem",
        "CreateTable",
        "DescribeTable",
        "GetItem",
        "PutItem",
        "Query",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateContinuousBackups",
    }
)

FAULTS = Faults(ROWS, ERROR_CODES, EXCEPTIONS, OPERATIONS)


class Verdict(Enum):
    """The consequence of a cancelled transaction, which has changed nothing."""

    #: The data has changed since it was read: the same transaction can never succeed.
    STALE = "stale"
    #: Another transaction was in progress: the same one may succeed later, if the data has not changed.
    CONFLICT = "conflict"
    #: There was no capacity: the same transaction may succeed later.
    THROTTLED = "throttled"
    #: The request cannot be executed.
    REFUSED = "refused"


#: By the codes of CancellationReasons, one for each action; if there are several, the first row applies.
CANCELLATIONS: Mapping[str, Verdict] = {
    "ValidationError": Verdict.REFUSED,
    "ItemCollectionSizeLimitExceeded": Verdict.REFUSED,
    "ConditionalCheckFailed": Verdict.STALE,
    "DuplicateItem": Verdict.STALE,
    "ThrottlingError": Verdict.THROTTLED,
    "ProvisionedThroughputExceeded": Verdict.THROTTLED,
    "RequestLimitExceeded": Verdict.THROTTLED,
    "TransactionConflict": Verdict.CONFLICT,
}

#: The verdicts after which a transaction is retried.
RETRIED = frozenset({Verdict.CONFLICT, Verdict.THROTTLED})

#: The errors of transactions that are not retried again.
FINAL_ERRORS: Mapping[Verdict, Fault] = {
    Verdict.STALE: _CONTENDED,
    Verdict.CONFLICT: _CONTENDED,
    Verdict.THROTTLED: _THROTTLED,
    Verdict.REFUSED: _OTHER_TABLE,
}


def verdict(codes: frozenset[str]) -> Verdict | None:
    """Returns the verdict on the reasons of a cancellation; None if this release knows none of them."""
    return next((found for code, found in CANCELLATIONS.items() if code in codes), None)
