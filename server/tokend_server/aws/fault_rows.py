"""What AWS and botocore call a failure, of whatever service, and what it is to tokend: the tables of `faults`."""

from collections.abc import Mapping
from typing import NamedTuple

from tokend_server.errors import EngineCredentialsRejected, EngineMisconfigured, EngineUnavailable, TokendError

#: Where botocore looks for credentials and renews them.
CREDENTIALS_MODULE = "botocore.credentials"


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

    def to_error(self) -> TokendError:
        """The error, of a row that has its text, with what an operator should do."""
        error = self.error(self.text or "")
        error.advice = self.advice
        return error


class Service(NamedTuple):
    """A service of AWS, as its rows speak of it.

    Attributes:
        name: Its name.
        endpoint: The settings that say where it is.
        rights: What the IAM policy of the credentials has to allow, as the end of a sentence.
        throttled: What it is to be throttled.
    """

    name: str
    endpoint: str
    rights: str
    throttled: Fault


class Rows(NamedTuple):
    """The rows of a service that every service has.

    Attributes:
        throttled: It throttles.
        outage: It has a fault.
        not_service: What answers is something else.
        other_endpoint: What answers is another service or region of AWS.
        unreachable: It cannot be reached.
        unknown: It refuses in a way that this release does not know.
        mangled: It cannot read what was sent.
        broken_off: The connection ended.
        not_renewed: AWS refuses new credentials.
        not_renewed_now: AWS has no new credentials now.
        not_renewed_there: What answers is nothing that has credentials.
        answers: By the code of the answer: AWS's common errors.
        exceptions: By the class of botocore's exception, or the nearest one above it. None: tokend does nothing that
            can cause it.
        leaks: By the botocore module in which an exception of no class of botocore's arose.
    """

    throttled: Fault
    outage: Fault
    not_service: Fault
    other_endpoint: Fault
    unreachable: Fault
    unknown: Fault
    mangled: Fault
    broken_off: Fault
    not_renewed: Fault
    not_renewed_now: Fault
    not_renewed_there: Fault
    answers: Mapping[str, Fault]
    exceptions: Mapping[str, Fault | None]
    leaks: Mapping[str, Fault]


def rows_of(service: Service) -> Rows:
    """The rows of a service, in words that name it."""
    name = service.name
    outage = Fault(
        EngineUnavailable,
        f"{name} failed to answer the call.",
        f"{name} itself has a fault. Try again later, and look at the AWS Health Dashboard of the region.",
    )
    not_service = Fault(
        EngineMisconfigured,
        f"{name}'s answer cannot be read.",
        f"What answered is not {name}. Check {service.endpoint}, DNS, and any proxy or captive portal on the way.",
    )
    other_endpoint = not_service._replace(
        text=f"What answers is not the region's {name}.",
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
        f"{name} refused the call in a way that this release does not know.",
        f"{name}, or what stands before it, answered with an error that this release does not know. Check the endpoint "
        "and any proxy, and look for a newer release.",
    )
    # botocore sends the right types, so something on the way changed them, or an emulator reads them differently.
    mangled = Fault(EngineUnavailable, f"{name} could not read the call.", not_service.advice)
    broken_off = unreachable._replace(text=f"The connection to {name} broke off.")
    return Rows(
        throttled=service.throttled,
        outage=outage,
        not_service=not_service,
        other_endpoint=other_endpoint,
        unreachable=unreachable,
        unknown=unknown,
        mangled=mangled,
        broken_off=broken_off,
        not_renewed=_rejected(
            "AWS refused to hand out credentials for the role. Check the role's ARN, its trust policy, and that the "
            "service may assume it."
        ),
        not_renewed_now=Fault(
            EngineUnavailable,
            "The service's own AWS credentials cannot be renewed now.",
            "AWS, asked for new credentials, does not answer or throttles. Try again later.",
        ),
        not_renewed_there=Fault(
            EngineMisconfigured,
            "The service's own AWS credentials cannot be renewed there.",
            "What answers to a request for new credentials is not AWS STS, or whatever else has them, or its "
            "certificate is not trusted. Check AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, DNS, the CA bundle, and any "
            "proxy on the way.",
        ),
        answers=_answers(service, outage, mangled),
        exceptions=_exceptions(name, outage, not_service, unreachable, unknown, broken_off),
        leaks={
            CREDENTIALS_MODULE: _CREDENTIALS_UNUSABLE,
            "botocore.parsers": not_service,
            "botocore.model": not_service,  # the code of an answer is looked up there, whatever it is
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
    "The secret key does not belong to the access key, or this machine's clock is off. Check both."
)
_CLOCK_OFF = _rejected("This machine's clock differs too much from AWS's. Synchronize it.")
_SIGNATURE_LOST = _rejected(
    "The signature did not arrive whole. Check that no proxy changes headers, and that the keys are copied right."
)


def _answers(service: Service, outage: Fault, mangled: Fault) -> Mapping[str, Fault]:
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
        "SerializationException": mangled,
        "MalformedHttpRequestException": mangled,
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


def _exceptions(  # noqa: PLR0913, PLR0917 - the rows that it is made of
    name: str, outage: Fault, not_service: Fault, unreachable: Fault, unknown: Fault, broken_off: Fault
) -> Mapping[str, Fault | None]:
    no_time = unreachable._replace(
        text=f"{name} did not answer in time.",
        advice=f"{name}'s endpoint did not answer in time. Check firewall, routes and proxy, and the configured "
        "timeouts.",
    )
    return {
        "NoCredentialsError": _rejected(
            "boto3's default chain found no credentials: none in the environment, a profile, a container or an "
            "instance. Give the service a role, or credentials by one of these ways."
        ),
        "PartialCredentialsError": _rejected(
            "The credentials lack a part. Give both the access key and the secret key."
        ),
        "ProfileNotFound": _rejected(
            "The AWS configuration has no such profile. Check its name and the files' places."
        ),
        "ConnectionError": unreachable,
        "ConnectTimeoutError": no_time,
        "ReadTimeoutError": no_time,
        "HTTPClientError": broken_off,
        "IncompleteReadError": broken_off,
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
