"""The tables of AWS STS's errors of AssumeRoleWithWebIdentity, and of a device's errors; used by `web_identity`.

Source of the codes: the API reference of AssumeRoleWithWebIdentity.
"""

from tokend_server.aws.fault_rows import Fault, Service, rows_of
from tokend_server.aws.faults import Faults
from tokend_server.errors import (
    EngineMisconfigured,
    InvalidIdentityPoolConfiguration,
    InvalidParameter,
    LoginProviderUnavailable,
    NotAuthorized,
    TooManyRequests,
)

OPERATION = "AssumeRoleWithWebIdentity"

ROWS = rows_of(
    Service(
        name="AWS STS",
        endpoint="aws.credentials.endpoint_url, AWS_ENDPOINT_URL",
        rights=OPERATION,
        throttled=Fault(
            TooManyRequests, "Rate exceeded", "AWS STS throttles this account and region. Lower the rate of calls."
        ),
    )
)

_TEXT = "Invalid identity pool configuration. Check assigned IAM roles for this pool."


def _invalid_configuration(advice: str) -> Fault:
    return Fault(InvalidIdentityPoolConfiguration, _TEXT, advice)


ERROR_CODES = {
    **ROWS.error_codes,
    "AccessDenied": _invalid_configuration(
        "The trust policy of the role does not let the token assume it. It needs the IAM identity provider of "
        "issuer.url as its principal, and conditions on aud and amr that match; with principal tags, sts:TagSession."
    ),
    "InvalidIdentityToken": _invalid_configuration(
        "AWS STS does not accept tokens of this issuer. Register issuer.url as an IAM identity provider whose "
        "audience is the pool's id: `tokend check-config --for aws-sts`."
    ),
    "IDPRejectedClaim": _invalid_configuration(
        "AWS STS could not verify a claim of the token: `tokend check-config --for aws-sts`."
    ),
    "ValidationError": _invalid_configuration(
        "AWS STS does not accept the role's ARN, or the token. Check the pool's roles."
    ),
    "ExpiredTokenException": Fault(NotAuthorized, "Invalid login token. Token is expired."),
    "IDPCommunicationError": Fault(
        LoginProviderUnavailable,
        "The issuer of the token does not answer AWS STS.",
        "AWS STS cannot fetch the discovery document or the keys from issuer.url. They must be public.",
    ),
    "PackedPolicyTooLarge": Fault(InvalidParameter, "The principal tags of the token are too large for AWS STS."),
    "RegionDisabledException": Fault(
        EngineMisconfigured,
        "AWS STS is not active in the Region.",
        "Activate AWS STS in the Region for the account of the role, or set aws.credentials.region.",
    ),
}

#: The error for a Region that is not one of AWS's, such as that of a managed pool.
NO_CLIENT = Fault(
    EngineMisconfigured,
    "AWS STS cannot be called in the Region of the pool.",
    "boto3 cannot use the Region, or the AWS configuration file. Set aws.credentials.region, or correct the file.",
)

FAULTS = Faults(ROWS, ERROR_CODES, ROWS.exceptions, frozenset({OPERATION}))
