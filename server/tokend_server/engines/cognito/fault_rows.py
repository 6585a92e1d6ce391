"""The tables of Cognito's errors, and of the contract's errors that they become; used by `faults`."""

from collections.abc import Mapping

from tokend_server.aws.fault_rows import Fault, Service, rows_of
from tokend_server.errors import (
    DeveloperUserAlreadyRegistered,
    EngineUnavailable,
    InvalidParameter,
    LimitExceeded,
    LoginProviderUnavailable,
    NotAuthorized,
    ResourceConflict,
    ResourceNotFound,
    TooManyRequests,
    UnsupportedByEngine,
    ValidationFailed,
)

ROWS = rows_of(
    Service(
        name="Cognito",
        endpoint="cognito.endpoint_url, AWS_ENDPOINT_URL",
        rights="cognito-identity:GetOpenIdTokenForDeveloperIdentity, LookupDeveloperIdentity, "
        "MergeDeveloperIdentities and UnlinkDeveloperIdentity on the identity pool; to import it, "
        "DescribeIdentityPool, ListIdentities and LookupDeveloperIdentity",
        throttled=Fault(
            TooManyRequests,
            "Rate exceeded",
            "Cognito throttles this account and region. Lower the rate of calls, or request an increase of the quota "
            "in Service Quotas.",
        ),
    )
)

# The contract has no reason for a race, and a retry of the call succeeds.
_RACE = Fault(EngineUnavailable, "The identity is being changed by too many calls at once.")
_TOO_LARGE = Fault(InvalidParameter, "The request is larger than Cognito accepts.")

#: By the code of AWS's response: errors in the service model, undeclared ones of Cognito, and AWS's common errors.
ERROR_CODES: Mapping[str, Fault] = {
    "InvalidParameterException": Fault(InvalidParameter),
    "NotAuthorizedException": Fault(NotAuthorized),
    "ResourceNotFoundException": Fault(
        ResourceNotFound,
        advice="Cognito does not know the identity pool. Check its id, the region and the AWS account.",
    ),
    "ResourceConflictException": Fault(ResourceConflict),
    "DeveloperUserAlreadyRegisteredException": Fault(DeveloperUserAlreadyRegistered),
    "LimitExceededException": Fault(LimitExceeded),
    "ValidationException": Fault(ValidationFailed),
    "ValidationError": Fault(ValidationFailed),
    "RequestEntityTooLarge": _TOO_LARGE,
    "RequestEntityTooLargeException": _TOO_LARGE,
    "ExternalServiceException": Fault(LoginProviderUnavailable, "A login provider does not answer."),
    "ConcurrentModificationException": _RACE,
    "TooManyRequestsException": ROWS.throttled,
    "InternalErrorException": ROWS.outage,
    "UnknownOperationException": Fault(
        UnsupportedByEngine,
        "Cognito's endpoint does not have the operation.",
        "The endpoint is not Cognito or lacks the operation, as some emulators do. Check the endpoint.",
    ),
    **ROWS.error_codes,
}

#: By the class of botocore's exception, or its nearest base class. None: nothing in the service can cause it.
EXCEPTIONS: Mapping[str, Fault | None] = {
    **ROWS.exceptions,
    "ParamValidationError": Fault(InvalidParameter, "The request does not have the form that Cognito accepts."),
}
