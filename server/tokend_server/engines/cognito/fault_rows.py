"""What AWS and botocore call a failure, and what it is in the terms of the contract: the tables of `faults`."""

from collections.abc import Mapping
from typing import NamedTuple

from tokend_server.errors import (
    DeveloperUserAlreadyRegistered,
    EngineCredentialsRejected,
    EngineMisconfigured,
    EngineUnavailable,
    InvalidParameter,
    LimitExceeded,
    LoginProviderUnavailable,
    NotAuthorized,
    ResourceConflict,
    ResourceNotFound,
    TokendError,
    TooManyRequests,
    UnsupportedByEngine,
    ValidationFailed,
)


class Fault(NamedTuple):
    """One row.

    Attributes:
        error: The class of the error.
        text: What the caller reads; None passes on AWS's text, which is about the request.
        advice: What the operator should do about it; empty where it is the caller's business.
    """

    error: type[TokendError]
    text: str | None = None
    advice: str = ""


def _rejected(advice: str) -> Fault:
    return Fault(EngineCredentialsRejected, "The service's own AWS credentials are missing or refused.", advice)


OUTAGE = Fault(
    EngineUnavailable,
    "Cognito failed to answer the call.",
    "Cognito itself has a fault. Try again later, and look at the AWS Health Dashboard of the region.",
)
THROTTLED = Fault(
    TooManyRequests,
    "Rate exceeded",
    "Cognito throttles this account and region. Lower the rate of calls, or have the quota raised in Service Quotas.",
)
NOT_COGNITO = Fault(
    EngineMisconfigured,
    "Cognito's answer cannot be read.",
    "What answered is not Cognito. Check cognito.endpoint_url, AWS_ENDPOINT_URL, DNS, and any proxy or captive portal "
    "on the way.",
)
OTHER_ENDPOINT = NOT_COGNITO._replace(
    text="What answers is not the region's Cognito.",
    advice="The endpoint is that of another AWS service or region. Check cognito.endpoint_url and AWS_ENDPOINT_URL.",
)
UNREACHABLE = Fault(
    EngineUnavailable,
    "Cognito cannot be reached.",
    "Cognito's endpoint cannot be reached. Check that the region exists and has Cognito, then DNS, routes, firewall, "
    "proxy.",
)
MISCONFIGURED = Fault(
    EngineMisconfigured,
    "The service's AWS settings cannot be used.",
    "boto3 cannot use the settings. Check the region, the endpoint and the AWS configuration file.",
)
UNKNOWN = Fault(
    EngineUnavailable,
    "Cognito refused the call in a way that this release does not know.",
    "Cognito, or what stands before it, answered with an error that this release does not know. Check the endpoint and "
    "any proxy, and look for a newer release.",
)
CREDENTIALS_NOT_RENEWED = _rejected(
    "AWS refused to hand out credentials for the role. Check the role's ARN, its trust policy, and that the service "
    "may assume it."
)
CREDENTIALS_NOT_RENEWED_NOW = Fault(
    EngineUnavailable,
    "The service's own AWS credentials cannot be renewed now.",
    "AWS, asked for new credentials, does not answer or throttles. Try again later.",
)
CREDENTIALS_UNUSABLE = _rejected(
    "The credentials that boto3 was pointed to cannot be read. Check the profile, the web identity token file and the "
    "credential process."
)

_ACCESS_KEY_UNKNOWN = _rejected(
    "AWS does not know the access key. Check that it exists, is active, and belongs to the region's partition."
)
_ACCESS_DENIED = _rejected(
    "The IAM policy of the credentials lacks the action. Allow cognito-identity:GetOpenIdTokenForDeveloperIdentity, "
    "LookupDeveloperIdentity, MergeDeveloperIdentities and UnlinkDeveloperIdentity on the identity pool."
)
_SESSION_EXPIRED = _rejected("The session token has expired. Renew the temporary credentials.")
_SIGNATURE_WRONG = _rejected(
    "The secret key does not belong to the access key, or this machine's clock is off. Check both."
)
_CLOCK_OFF = _rejected("This machine's clock differs too much from AWS's. Synchronize it.")
_SIGNATURE_LOST = _rejected(
    "The signature did not arrive whole. Check that no proxy changes headers, and that the keys are copied right."
)
_NOT_SUBSCRIBED = _rejected(
    "The AWS account is not signed up for Cognito, or is not active yet. Open Cognito once in the AWS console."
)
# The contract has no reason for a race, and the same call succeeds a moment later.
_RACE = Fault(EngineUnavailable, "The identity is being changed by too many calls at once.")
# botocore sends the right types, so something on the way changed them, or an emulator reads them differently.
_MANGLED = Fault(EngineUnavailable, "Cognito could not read the call.", NOT_COGNITO.advice)
_TOO_LARGE = Fault(InvalidParameter, "The request is larger than Cognito accepts.")

#: By the code of AWS's answer: what the service model declares, Cognito's undeclared ones, and AWS's common errors.
ANSWERS: Mapping[str, Fault] = {
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
    "TooManyRequestsException": THROTTLED,
    "Throttling": THROTTLED,
    "ThrottlingException": THROTTLED,
    "ThrottledException": THROTTLED,
    "RequestThrottled": THROTTLED,
    "RequestThrottledException": THROTTLED,
    "RequestLimitExceeded": THROTTLED,
    "BandwidthLimitExceeded": THROTTLED,
    "SlowDown": THROTTLED,
    "InternalErrorException": OUTAGE,
    "InternalFailure": OUTAGE,
    "InternalServerError": OUTAGE,
    "InternalServerException": OUTAGE,
    "ServiceUnavailable": OUTAGE,
    "ServiceUnavailableException": OUTAGE,
    "RequestTimeout": OUTAGE,
    "RequestTimeoutException": OUTAGE,
    "RequestAbortedException": OUTAGE,
    "SerializationException": _MANGLED,
    "MalformedHttpRequestException": _MANGLED,
    "UnknownOperationException": Fault(
        UnsupportedByEngine,
        "Cognito's endpoint does not have the operation.",
        "What answers is not Cognito or lacks the operation, as some emulators do. Check the endpoint.",
    ),
    "UnrecognizedClientException": _ACCESS_KEY_UNKNOWN,
    "InvalidClientTokenId": _ACCESS_KEY_UNKNOWN,
    "InvalidAccessKeyId": _ACCESS_KEY_UNKNOWN,
    "AuthFailure": _ACCESS_KEY_UNKNOWN,
    "AccessDenied": _ACCESS_DENIED,
    "AccessDeniedException": _ACCESS_DENIED,
    "NotAuthorized": _ACCESS_DENIED,  # IAM's; Cognito's own has another name
    "ExpiredToken": _SESSION_EXPIRED,
    "ExpiredTokenException": _SESSION_EXPIRED,
    "InvalidSignatureException": _SIGNATURE_WRONG,
    "SignatureDoesNotMatch": _SIGNATURE_WRONG,
    "RequestExpired": _CLOCK_OFF,
    "RequestTimeTooSkewed": _CLOCK_OFF,
    "IncompleteSignature": _SIGNATURE_LOST,
    "IncompleteSignatureException": _SIGNATURE_LOST,
    "MissingAuthenticationToken": _SIGNATURE_LOST,
    "MissingAuthenticationTokenException": _SIGNATURE_LOST,
    "OptInRequired": _NOT_SUBSCRIBED,
    "SubscriptionRequiredException": _NOT_SUBSCRIBED,
    "NotSignedUp": _NOT_SUBSCRIBED,
}

_NO_CREDENTIALS = _rejected(
    "boto3's default chain found no credentials: none in the environment, a profile, a container or an instance. Give "
    "the service a role, or credentials by one of these ways."
)
_NO_TIME = UNREACHABLE._replace(
    text="Cognito did not answer in time.",
    advice="Cognito's endpoint did not answer in time. Check firewall, routes and proxy, and the configured timeouts.",
)
BROKEN_OFF = UNREACHABLE._replace(text="The connection to Cognito broke off.")

#: By the class of botocore's exception, or the nearest one above it. None: the service does nothing that can cause it.
EXCEPTIONS: Mapping[str, Fault | None] = {
    "NoCredentialsError": _NO_CREDENTIALS,
    "PartialCredentialsError": _rejected("The credentials lack a part. Give both the access key and the secret key."),
    "ProfileNotFound": _rejected("The AWS configuration has no such profile. Check its name and the files' places."),
    "ConnectionError": UNREACHABLE,
    "ConnectTimeoutError": _NO_TIME,
    "ReadTimeoutError": _NO_TIME,
    "HTTPClientError": BROKEN_OFF,
    "IncompleteReadError": BROKEN_OFF,
    "CapacityNotAvailableError": OUTAGE,
    "ChecksumError": NOT_COGNITO,
    "ResponseParserError": NOT_COGNITO,
    "SSLError": NOT_COGNITO._replace(
        text="Cognito cannot be reached over TLS.",
        advice="The endpoint's certificate is not trusted, or it does not speak TLS. Check the endpoint's name and "
        "port, the CA bundle, and whether a proxy replaces certificates.",
    ),
    "ProxyConnectionError": UNREACHABLE._replace(advice="The proxy cannot be reached. Check HTTPS_PROXY and NO_PROXY."),
    "ParamValidationError": Fault(InvalidParameter, "The request does not have the form that Cognito accepts."),
    "NoRegionError": MISCONFIGURED._replace(advice="No AWS region is configured. Set it."),
    "BotoCoreError": UNKNOWN._replace(text="The call to Cognito failed in a way that this release does not know."),
    **dict.fromkeys(
        (
            "CredentialRetrievalError",
            "ConfigNotFound",
            "ConfigParseError",
            "InvalidConfigError",
            "InvalidIMDSEndpointError",
            "InvalidIMDSEndpointModeError",
            "LoginError",
            "MetadataRetrievalError",
            "MissingDependencyException",
            "NoAuthTokenError",
            "RefreshWithMFAUnsupportedError",
            "SSOError",
            "TokenRetrievalError",
            "UnknownCredentialError",
            "UnknownTokenProviderError",
        ),
        CREDENTIALS_UNUSABLE,
    ),
    **dict.fromkeys(
        (
            "ApiVersionNotFoundError",
            "BaseEndpointResolverError",
            "DataNotFoundError",
            "EndpointProviderError",
            "InvalidChecksumConfigError",
            "InvalidDefaultsMode",
            "InvalidEndpointConfigurationError",
            "InvalidEndpointDiscoveryConfigurationError",
            "InvalidHostLabelError",
            "InvalidProxiesConfigError",
            "InvalidRegionError",
            "InvalidRetryConfigurationError",
            "InvalidS3UsEast1RegionalEndpointConfigError",
            "InvalidSTSRegionalEndpointsConfigError",
            "ServiceNotInRegionError",
            "UnknownRegionError",
            "UnknownSignatureVersionError",
            "UnsupportedServiceProtocolsError",
            "UnsupportedSignatureVersionError",
        ),
        MISCONFIGURED,
    ),
    **dict.fromkeys(
        (
            "AwsChunkedWrapperError",
            "FlexibleChecksumError",
            "InvalidDNSNameError",
            "InvalidExpressionError",
            "InvalidS3AddressingStyleError",
            "MD5UnavailableError",
            "MissingParametersError",
            "OperationNotPageableError",
            "PaginationError",
            "StubResponseError",
            "UnknownClientMethodError",
            "UnknownServiceStyle",
            "UnseekableStreamError",
            "UnsupportedOutpostResourceError",
            "UnsupportedS3AccesspointConfigurationError",
            "UnsupportedS3ArnError",
            "UnsupportedS3ConfigurationError",
            "UnsupportedS3ControlArnError",
            "UnsupportedS3ControlConfigurationError",
            "ValidationError",
            "WaiterConfigError",
            "WaiterError",
        )
    ),
}

#: By the botocore module in which an exception of no class of botocore's arose.
LEAKS: Mapping[str, Fault] = {
    "botocore.credentials": CREDENTIALS_UNUSABLE,
    "botocore.parsers": NOT_COGNITO,
}
