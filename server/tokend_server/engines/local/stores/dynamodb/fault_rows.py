"""What DynamoDB calls a failure, and what it is to the local engine: the tables of `table`.

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
    "DynamoDB throttles the table or the account. Look at ThrottledRequests in CloudWatch; give the table on-demand or "
    "more capacity, or have the account's quota raised in Service Quotas.",
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
    "DynamoDB has no table of the name in store.url in this region and account. Check these, or make it with `tokend "
    "migrate`.",
)
_OTHER_TABLE = Fault(
    EngineMisconfigured,
    "The identity store does not take the request.",
    "DynamoDB refuses the request as malformed, as it does when the table is none of tokend's. Check store.url.",
)
_CONTENDED = Fault(EngineUnavailable, "The identity is being changed by too many calls at once.")
_LACKS = Fault(
    EngineMisconfigured,
    "The identity store lacks an operation.",
    "What answers is not DynamoDB, or lacks the operation, as some emulators do. Check endpoint_url in store.url.",
)
_BUSY_WITH_TABLES = Fault(
    EngineUnavailable,
    "The identity store's table is being changed.",
    "DynamoDB makes, changes or removes the table, or too many tables, at the moment. Try again later.",
)

#: By the code of DynamoDB's answer.
ANSWERS: Mapping[str, Fault] = {
    "ResourceNotFoundException": _NO_TABLE,
    "TableNotFoundException": _NO_TABLE,
    "ValidationException": _OTHER_TABLE,
    "ConditionalCheckFailedException": _CONTENDED,
    "TransactionCanceledException": _CONTENDED,
    "TransactionConflictException": _CONTENDED,
    "TransactionInProgressException": _CONTENDED,
    "ReplicatedWriteConflictException": _CONTENDED,
    # A token of its own for each transaction: another request with the same one is none of this process.
    "IdempotentParameterMismatchException": _OTHER_TABLE,
    "ItemCollectionSizeLimitExceededException": _OTHER_TABLE,
    "ProvisionedThroughputExceededException": _THROTTLED,
    "ContinuousBackupsUnavailableException": _BUSY_WITH_TABLES,
    "LimitExceededException": _BUSY_WITH_TABLES,
    "ResourceInUseException": _BUSY_WITH_TABLES,
    "InternalServerErrorException": ROWS.outage,
    "InvalidEndpointException": ROWS.not_service,
    "UnknownOperationException": _LACKS,
    **ROWS.answers,
}

#: By the class of botocore's exception; what the store asks for is well formed.
EXCEPTIONS: Mapping[str, Fault | None] = ROWS.exceptions

#: What is called.
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

FAULTS = Faults(ROWS, ANSWERS, EXCEPTIONS, OPERATIONS)


class Verdict(Enum):
    """What follows from a transaction that was cancelled, which changed nothing."""

    #: What was read is no longer so: the same transaction can never pass.
    STALE = "stale"
    #: Another transaction was under way: the same one may pass a moment later, if what was read is still so.
    CONFLICT = "conflict"
    #: There was no capacity: the same one may pass a moment later.
    THROTTLED = "throttled"
    #: The request cannot be carried out.
    REFUSED = "refused"


#: By the codes of CancellationReasons, of which there is one for each action; of several, the first row counts.
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

#: What may pass when it is tried again.
AGAIN = frozenset({Verdict.CONFLICT, Verdict.THROTTLED})

#: What a transaction comes to that is not tried again.
AFTER_ALL: Mapping[Verdict, Fault] = {
    Verdict.STALE: _CONTENDED,
    Verdict.CONFLICT: _CONTENDED,
    Verdict.THROTTLED: _THROTTLED,
    Verdict.REFUSED: _OTHER_TABLE,
}


def verdict(codes: frozenset[str]) -> Verdict | None:
    """What the reasons of a cancellation come to; None where this release knows none of them."""
    return next((found for code, found in CANCELLATIONS.items() if code in codes), None)
