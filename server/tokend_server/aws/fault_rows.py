"""The tables of errors of AWS and botocore, for all services, and of tokend's errors for them; used by `faults`."""

from collections.abc import Mapping
from typing import NamedTuple

from tokend_server.errors import EngineCredentialsRejected, EngineMisconfigured, EngineUnavailable, TokendError

#: The module in which botocore searches for credentials and renews them.
CREDENTIALS_MODULE = "botocore.credentials"


class Fault(NamedTuple):
    """One row.

    Attributes:
        error: The class of the error.
        text: The text for the caller; None to pass on AWS's text, which is about the request.
        advice: Advice for the operator; empty if the caller has caused the error.
    """

    error: type[TokendError]
    text: str | None = None
    advice: str = ""

    def to_error(self) -> TokendError:
        """Returns the error of a row with a text, with its advice."""
        return self.error(self.text or "").with_advice(self.advice)


class Service(NamedTuple):
    """An AWS service, in the words of its rows.

    Attributes:
        name: Its name.
        endpoint: The settings of its endpoint.
        rights: The actions that the IAM policy of the credentials must allow, as the end of a sentence.
        throttled: The row for throttling.
    """

    name: str
    endpoint: str
    rights: str
    throttled: Fault


class Rows(NamedTuple):
    """The rows of a service that are common to all services.

    Attributes:
        throttled: The service throttles.
        outage: The service has an internal error.
        not_service: The endpoint is not the service.
        other_endpoint: The endpoint is another service or Region of AWS.
        unreachable: The service cannot be reached.
        unknown: The service responds with an error that this release does not know.
        malformed_request: The service cannot parse the request.
        connection_closed: The connection was closed.
        not_renewed: AWS refuses new credentials.
        not_renewed_now: AWS has no new credentials now.
        not_renewed_there: The endpoint for credentials has none.
        error_codes: By the code of the response: AWS's common errors.
        exceptions: By the class of botocore's exception, or its nearest base class. None: nothing in tokend can cause
            it.
        leaks: For exceptions that are not botocore's, by the botocore module that raised them.
    """

    throttled: Fault
    outage: Fault
    not_service: Fault
    other_endpoint: Fault
    unreachable: Fault
    unknown: Fault
    malformed_request: Fault
    connection_closed: Fault
    not_renewed: Fault
    not_renewed_now: Fault
    not_renewed_there: Fault
    error_codes: Mapping[str, Fault]
    exceptions: Mapping[str, Fault | None]
    leaks: Mapping[str, Fault]


def rows_of(service: Service) -> Rows:
    """Returns the rows of a service, with its name in their texts."""
    name = service.name
    outage = Fault(
        EngineUnavailable,
        f"{name} failed to answer the call.",
        f"{name} has an internal error. Try again later, and check the AWS Health Dashboard of the region.",
    )
    not_service = Fault(
        EngineMisconfigured,
        f"{name}'s response cannot be parsed.",
        f"The response is not from {name}. Check {service.endpoint}, DNS, and any proxy or captive portal on the way.",
    )
    other_endpoint = not_service._replace(
        text=f"The endpoint is not the region's {name}.",
        advice="The endpoint is that of another AWS service or region. "
        f"Check {service.endpoint.replace(', ', ' and ')}.",
    )
    unreachable = Fault(
        EngineUnavailable,
        f"{name} cannot be reached.",
        f"{name}'s endpoint cannot be reached. Check that the region exists and has {name}, then DNS, routes, "
        "firewall, proxy.",
    )
    unknown = Fault(
        EngineUnavailable,
        f"{name} refused the call with an error that this release does not know.",
        f"{name}, or a proxy before it, responded with an error that this release does not know. Check the endpoint "
        "and any proxy, and look for a newer release.",
    )
    # botocore sends valid requests, so a proxy has changed them, or an emulator parses them differently.
    malformed_request = Fault(EngineUnavailable, f"{name} could not parse the call.", not_service.advice)
    connection_closed = unreachable._replace(text=f"The connection to {name} was closed.")
    return Rows(
        throttled=service.throttled,
        outage=outage,
        not_service=not_service,
        other_endpoint=other_endpoint,
        unreachable=unreachable,
        unknown=unknown,
        malformed_request=malformed_request,
        connection_closed=connection_closed,
        not_renewed=_rejected(
            "AWS refused credentials for the role. Check the role's ARN, its trust policy, and that the "
            "service may assume it."
        ),
        not_renewed_now=Fault(
            EngineUnavailable,
            "The service's own AWS credentials cannot be renewed now.",
            "AWS does not answer the request for new credentials, or throttles. Try again later.",
        ),
        not_renewed_there=Fault(
            EngineMisconfigured,
            "The service's own AWS credentials cannot be renewed there.",
            "The endpoint for new credentials is not AWS STS or another source of credentials, or its certificate is "
            "not trusted. Check AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, DNS, the CA bundle, and any proxy on the way.",
        ),
        error_codes=_error_codes(service, outage, malformed_request),
        exceptions=_exceptions(name, outage, not_service, unreachable, unknown, connection_closed),
        leaks={
            CREDENTIALS_MODULE: _CREDENTIALS_UNUSABLE,
            "botocore.parsers": not_service,
            "botocore.model": not_service,  # it looks up the code of any response
        },
    )


def _rejected(advice: str) -> Fault:
    return Fault(EngineCredentialsRejected, "The service's own AWS credentials are missing or refused.", advice)


MISCONFIGURED = Fault(
    EngineMisconfigured,
    "The service's AWS settings cannot be used.",
    "boto3 cannot use the settings. Check the region, the endpoint and the AWS configuration file.",
)
_CREDENTIALS_UNUSABLE = _rejected(
    "The credentials that boto3 was pointed to cannot be read. Check the profile, the web identity token file and the "
    "credential process."
)
_ACCESS_KEY_UNKNOWN = _rejected(
    "AWS does not know the access key. Check that it exists, is active, and belongs to the region's partition."
)
_SESSION_EXPIRED = _rejected("The session token has expired. Renew the temporary credentials.")
_SIGNATURE_WRONG = _rejected(
    "The secret key does not belong to the access key, or this machine's clock is wrong. Check both."
)
_CLOCK_OFF = _rejected("This machine's clock differs too much from AWS's. Synchronize it.")
_SIGNATURE_LOST = _rejected(
    "The signature did not arrive unchanged. Check that no proxy changes headers, and that the keys are correct."
)


def _error_codes(service: Service, outage: Fault, malformed_request: Fault) -> Mapping[str, Fault]:
    throttled = service.throttled
    access_denied = _rejected(f"The IAM policy of the credentials lacks the action. Allow {service.rights}.")
    not_subscribed = _rejected(
        f"The AWS account is not signed up for {service.name}, or is not active yet. Open {service.name} once in the "
        "AWS console."
    )
    return {
        "Throttling": throttled,
        "ThrottlingException": throttled,
        "ThrottledException": throttled,
        "RequestThrottled": throttled,
        "RequestThrottledException": throttled,
        "RequestLimitExceeded": throttled,
        "BandwidthLimitExceeded": throttled,
        "SlowDown": throttled,
        "InternalFailure": outage,
        "InternalServerError": outage,
        "InternalServerException": outage,
        "ServiceUnavailable": outage,
        "ServiceUnavailableException": outage,
        "RequestTimeout": outage,
        "RequestTimeoutException": outage,
        "RequestAbortedException": outage,
        "SerializationException": malformed_request,
        "MalformedHttpRequestException": malformed_request,
        "UnrecognizedClientException": _ACCESS_KEY_UNKNOWN,
        "InvalidClientTokenId": _ACCESS_KEY_UNKNOWN,
        "InvalidAccessKeyId": _ACCESS_KEY_UNKNOWN,
        "AuthFailure": _ACCESS_KEY_UNKNOWN,
        "AccessDenied": access_denied,
        "AccessDeniedException": access_denied,
        "NotAuthorized": access_denied,  # IAM's
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
        "OptInRequired": not_subscribed,
        "SubscriptionRequiredException": not_subscribed,
        "NotSignedUp": not_subscribed,
    }


def _exceptions(  # noqa: PLR0913, PLR0917 - the rows of the table
    name: str, outage: Fault, not_service: Fault, unreachable: Fault, unknown: Fault, connection_closed: Fault
) -> Mapping[str, Fault | None]:
    no_time = unreachable._replace(
        text=f"{name} did not answer in time.",
        advice=f"{name}'s endpoint did not answer in time. Check firewall, routes and proxy, and the configured "
        "timeouts.",
    )
    return {
        "NoCredentialsError": _rejected(
            "boto3's default chain found no credentials: none in the environment, a profile, a container or an "
            "instance. Give the service a role, or credentials in one of these ways."
        ),
        "PartialCredentialsError": _rejected(
            "The credentials are incomplete. Set both the access key and the secret key."
        ),
        "ProfileNotFound": _rejected("The AWS configuration has no such profile. Check its name and the files' paths."),
        "ConnectionError": unreachable,
        "ConnectTimeoutError": no_time,
        "ReadTimeoutError": no_time,
        "HTTPClientError": connection_closed,
        "IncompleteReadError": connection_closed,
        "CapacityNotAvailableError": outage,
        "ChecksumError": not_service,
        "ResponseParserError": not_service,
        "SSLError": not_service._replace(
            text=f"{name} cannot be reached over TLS.",
            advice="The endpoint's certificate is not trusted, or it does not speak TLS. Check the endpoint's name and "
            "port, the CA bundle, and whether a proxy replaces certificates.",
        ),
        "ProxyConnectionError": unreachable._replace(
            advice="The proxy cannot be reached. Check HTTPS_PROXY and NO_PROXY."
        ),
        "NoRegionError": MISCONFIGURED._replace(advice="No AWS region is configured. Set it."),
        "BotoCoreError": unknown._replace(text=f"The call to {name} failed in a way that this release does not know."),
        **dict.fromkeys(_OF_CREDENTIALS, _CREDENTIALS_UNUSABLE),
        **dict.fromkeys(_OF_SETTINGS, MISCONFIGURED),
        **dict.fromkeys(_OF_DEFECTS),
    }


_OF_CREDENTIALS = (
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
)

_OF_SETTINGS = (
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
)

_OF_DEFECTS = (
    "AwsChunkedWrapperError",
    "FlexibleChecksumError",
    "InvalidDNSNameError",
    "InvalidExpressionError",
    "InvalidS3AddressingStyleError",
    "MD5UnavailableError",
    "MissingParametersError",
    "OperationNotPageableError",
    "PaginationError",
    "ParamValidationError",
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
