"""The tables of AWS KMS's errors, and of the errors of the local engine that they become; used by `kms_api`.

Source of the codes: the API references of CreateKey, Decrypt, DescribeKey, GenerateDataKey, GetPublicKey,
ScheduleKeyDeletion and Sign.
"""

from collections.abc import Mapping

from tokend_server.aws.fault_rows import Fault, Service, rows_of
from tokend_server.aws.faults import Faults
from tokend_server.errors import EngineMisconfigured, EngineUnavailable, TooManyRequests

#: The code of Sign for a dry run that would have succeeded (KMS developer guide, "Testing your permissions").
DRY_RUN_PASSED = "DryRunOperationException"

ROWS = rows_of(
    Service(
        name="AWS KMS",
        endpoint="keys.kms.endpoint_url, AWS_ENDPOINT_URL",
        rights="what server/kms.md lists, in the IAM policy and in the policies of the keys",
        # This is the account's quota of signatures: callers must slow down, as when Cognito's own quota is exhausted.
        throttled=Fault(
            TooManyRequests,
            "Rate exceeded",
            "AWS KMS throttles this account and region. Lower keys.kms.requests_per_second or the rate of calls, or "
            "have the quota of cryptographic operations raised in Service Quotas.",
        ),
    )
)

#: Also returned for a new key until all of KMS knows it (KMS developer guide, "Eventual consistency").
NO_KEY = Fault(
    EngineMisconfigured,
    "AWS KMS does not have the signing key.",
    "AWS KMS has no key of the ARN or alias in its account and region: it was deleted, or the name is wrong. Let "
    "another key sign: `tokend keys add`.",
)
_NOT_ENABLED = Fault(
    EngineMisconfigured,
    "AWS KMS refuses the use of the signing key.",
    "The key is disabled, or its deletion is scheduled. Enable it or cancel its deletion in AWS KMS, or let another "
    "key sign: `tokend keys add`.",
)
_OTHER_KEY = Fault(
    EngineMisconfigured,
    "AWS KMS does not sign with the key.",
    "The key is not for signatures with this algorithm. Check its key spec and its key usage.",
)
_KEY_UNREACHABLE = Fault(
    EngineUnavailable,
    "AWS KMS cannot reach the signing key now.",
    "AWS KMS cannot reach the key, for example because it is in a custom key store that does not answer. Check that "
    "key store.",
)
_KEY_LIMIT = Fault(
    EngineMisconfigured,
    "AWS KMS creates no more keys.",
    "A quota is exhausted, such as that of keys in the region. Request an increase in Service Quotas, or delete unused "
    "keys.",
)
_REFUSED = Fault(
    EngineMisconfigured,
    "AWS KMS rejects the request.",
    "AWS KMS rejects the request as malformed. Check keys.kms.key_policy_file, and whether the endpoint is AWS KMS.",
)

#: By the code of KMS's response.
ERROR_CODES: Mapping[str, Fault] = {
    "NotFoundException": NO_KEY,
    "DisabledException": _NOT_ENABLED,
    "KMSInvalidStateException": _NOT_ENABLED,
    "KeyUnavailableException": _KEY_UNREACHABLE,
    "DependencyTimeoutException": ROWS.outage,
    "KMSInternalException": ROWS.outage,
    "InvalidKeyUsageException": _OTHER_KEY,
    "UnsupportedOperationException": _OTHER_KEY,
    "InvalidArnException": NO_KEY,
    "InvalidGrantTokenException": _REFUSED,
    "LimitExceededException": _KEY_LIMIT,
    "MalformedPolicyDocumentException": _REFUSED,
    "TagException": _REFUSED,
    "ValidationException": _REFUSED,
    # For keys in custom key stores, in which tokend creates no keys.
    "CloudHsmClusterInvalidConfigurationException": _REFUSED,
    "CustomKeyStoreInvalidStateException": _KEY_UNREACHABLE,
    "CustomKeyStoreNotFoundException": _REFUSED,
    "XksKeyAlreadyInUseException": _REFUSED,
    "XksKeyInvalidConfigurationException": _REFUSED,
    "XksKeyNotFoundException": _REFUSED,
    # From Decrypt, which has its own rows.
    "IncorrectKeyException": _REFUSED,
    "InvalidCiphertextException": _REFUSED,
    DRY_RUN_PASSED: _REFUSED,  # not a failure; this row only prevents a retry
    "UnknownOperationException": _REFUSED,
    **ROWS.error_codes,
}

#: By the class of botocore's exception; the requests are well-formed.
EXCEPTIONS: Mapping[str, Fault | None] = ROWS.exceptions

#: The operations that are called, with a member that each of KMS's responses has: botocore treats a body that is not
#: JSON as a response without members.
OPERATIONS: Mapping[str, str] = {
    "CreateKey": "KeyMetadata",
    "Decrypt": "Plaintext",
    "DescribeKey": "KeyMetadata",
    "GenerateDataKey": "CiphertextBlob",
    "GetPublicKey": "PublicKey",
    "ScheduleKeyDeletion": "KeyId",
    "Sign": "Signature",
}

FAULTS = Faults(ROWS, ERROR_CODES, EXCEPTIONS, frozenset(OPERATIONS))


_NO_WRAPPING_KEY = Fault(
    EngineMisconfigured,
    "AWS KMS does not have the key that encrypts signing keys.",
    "AWS KMS has no key of the name in keys.encryption.kms_key_id or previous_kms_key_ids in its account and region. "
    "Check the names.",
)
_WRAPPING_KEY_NOT_ENABLED = Fault(
    EngineMisconfigured,
    "AWS KMS refuses the use of the key that encrypts signing keys.",
    "The key is disabled, or its deletion is scheduled, after which the signing keys are lost. Enable it or cancel its "
    "deletion in AWS KMS, and encrypt signing keys with another key: `tokend keys rewrap`.",
)
_NO_WRAPPING_KEY_AT_ALL = Fault(
    EngineMisconfigured,
    "AWS KMS does not encrypt with the key.",
    "The key in keys.encryption.kms_key_id has another purpose: it must be a symmetric key, SYMMETRIC_DEFAULT, for "
    "ENCRYPT_DECRYPT.",
)

#: By the code of KMS's response about a key that encrypts signing keys; other codes are as above.
WRAPPING_ERROR_CODES: Mapping[str, Fault] = {
    **ERROR_CODES,
    "NotFoundException": _NO_WRAPPING_KEY,
    "InvalidArnException": _NO_WRAPPING_KEY,
    "DisabledException": _WRAPPING_KEY_NOT_ENABLED,
    "KMSInvalidStateException": _WRAPPING_KEY_NOT_ENABLED,
    "InvalidKeyUsageException": _NO_WRAPPING_KEY_AT_ALL,
    "KeyUnavailableException": Fault(
        EngineUnavailable, "AWS KMS cannot reach the key that encrypts signing keys.", _KEY_UNREACHABLE.advice
    ),
}

_WRAPPING_FAULTS = Faults(ROWS, WRAPPING_ERROR_CODES, EXCEPTIONS, frozenset(OPERATIONS))


def faults_of(operation: str) -> Faults:
    """Returns the tables for the errors of an operation."""
    return _WRAPPING_FAULTS if operation in {"Decrypt", "GenerateDataKey"} else FAULTS
