"""What AWS KMS calls a failure, and what it is to the local engine: the tables of `kms_api`.

Source of the codes: the API references of CreateKey, Decrypt, DescribeKey, GenerateDataKey, GetPublicKey,
ScheduleKeyDeletion and Sign.
"""

from collections.abc import Mapping

from tokend_server.aws.fault_rows import Fault, Service, rows_of
from tokend_server.aws.faults import Faults
from tokend_server.errors import EngineMisconfigured, EngineUnavailable, TooManyRequests

#: What Sign answers to a dry run that would have succeeded (KMS developer guide, "Testing your permissions").
DRY_RUN_PASSED = "DryRunOperationException"

ROWS = rows_of(
    Service(
        name="AWS KMS",
        endpoint="keys.kms.endpoint_url, AWS_ENDPOINT_URL",
        rights="what server/kms.md lists, in the IAM policy and in the policies of the keys",
        # It is the account's quota of signatures: callers have to slow down, as where Cognito's own quota is used up.
        throttled=Fault(
            TooManyRequests,
            "Rate exceeded",
            "AWS KMS throttles this account and region. Lower keys.kms.requests_per_second or the rate of calls, or "
            "have the quota of cryptographic operations raised in Service Quotas.",
        ),
    )
)

#: Also said of a new key, while not all of KMS knows it (KMS developer guide, "Eventual consistency").
NO_KEY = Fault(
    EngineMisconfigured,
    "AWS KMS has not the signing key.",
    "AWS KMS has no key of the ARN or alias in its account and region: it was deleted, or the name is wrong. Let "
    "another key sign: `tokend keys add`.",
)
_NOT_ENABLED = Fault(
    EngineMisconfigured,
    "AWS KMS does not let the signing key be used.",
    "The key is disabled, or its deletion is scheduled. Enable it or cancel its deletion in AWS KMS, or let another "
    "key sign: `tokend keys add`.",
)
_OTHER_KEY = Fault(
    EngineMisconfigured,
    "AWS KMS does not sign with the key.",
    "The key is for something else than signatures by this algorithm. Check its key spec and its key usage.",
)
_KEY_AWAY = Fault(
    EngineUnavailable,
    "AWS KMS cannot reach the signing key now.",
    "AWS KMS cannot reach the key, as where it lies in a key store of the account's own that does not answer. Look at "
    "that key store.",
)
_NO_MORE = Fault(
    EngineMisconfigured,
    "AWS KMS makes no more keys.",
    "A quota is used up, such as that of keys in the region. Have it raised in Service Quotas, or delete keys that "
    "nothing uses.",
)
_REFUSED = Fault(
    EngineMisconfigured,
    "AWS KMS does not take the request.",
    "AWS KMS refuses the request as malformed. Check keys.kms.key_policy_file, and whether what answers is AWS KMS.",
)

#: By the code of KMS's answer.
ANSWERS: Mapping[str, Fault] = {
    "NotFoundException": NO_KEY,
    "DisabledException": _NOT_ENABLED,
    "KMSInvalidStateException": _NOT_ENABLED,
    "KeyUnavailableException": _KEY_AWAY,
    "DependencyTimeoutException": ROWS.outage,
    "KMSInternalException": ROWS.outage,
    "InvalidKeyUsageException": _OTHER_KEY,
    "UnsupportedOperationException": _OTHER_KEY,
    "InvalidArnException": NO_KEY,
    "InvalidGrantTokenException": _REFUSED,
    "LimitExceededException": _NO_MORE,
    "MalformedPolicyDocumentException": _REFUSED,
    "TagException": _REFUSED,
    "ValidationException": _REFUSED,
    # Keys in key stores of the account's own, which tokend makes none of.
    "CloudHsmClusterInvalidConfigurationException": _REFUSED,
    "CustomKeyStoreInvalidStateException": _KEY_AWAY,
    "CustomKeyStoreNotFoundException": _REFUSED,
    "XksKeyAlreadyInUseException": _REFUSED,
    "XksKeyInvalidConfigurationException": _REFUSED,
    "XksKeyNotFoundException": _REFUSED,
    # Of Decrypt, which has rows of its own.
    "IncorrectKeyException": _REFUSED,
    "InvalidCiphertextException": _REFUSED,
    DRY_RUN_PASSED: _REFUSED,  # no failure, and never treated as one: here it is not to be tried again
    "UnknownOperationException": _REFUSED,
    **ROWS.answers,
}

#: By the class of botocore's exception; what is asked for is well formed.
EXCEPTIONS: Mapping[str, Fault | None] = ROWS.exceptions

#: What is called.
OPERATIONS = frozenset(
    {
        "CreateKey",
        "Decrypt",
        "DescribeKey",
        "GenerateDataKey",
        "GetPublicKey",
        "ScheduleKeyDeletion",
        "Sign",
    }
)

FAULTS = Faults(ROWS, ANSWERS, EXCEPTIONS, OPERATIONS)


_NO_WRAPPING_KEY = Fault(
    EngineMisconfigured,
    "AWS KMS has not the key that encrypts signing keys.",
    "AWS KMS has no key of the name in keys.encryption.kms_key_id or previous_kms_key_ids in its account and region. "
    "Check the names.",
)
_WRAPPING_KEY_NOT_ENABLED = Fault(
    EngineMisconfigured,
    "AWS KMS does not let the key be used that encrypts signing keys.",
    "The key is disabled, or its deletion is scheduled, after which what it has encrypted is lost. Enable it or cancel "
    "its deletion in AWS KMS, and encrypt signing keys by another one: `tokend keys rewrap`.",
)
_NO_WRAPPING_KEY_AT_ALL = Fault(
    EngineMisconfigured,
    "AWS KMS does not encrypt with the key.",
    "The key in keys.encryption.kms_key_id is for something else: it has to be a symmetric one, SYMMETRIC_DEFAULT, for "
    "ENCRYPT_DECRYPT.",
)

#: By the code of KMS's answer to what is asked of a key that encrypts signing keys; the others are as above.
WRAPPING_ANSWERS: Mapping[str, Fault] = {
    **ANSWERS,
    "NotFoundException": _NO_WRAPPING_KEY,
    "InvalidArnException": _NO_WRAPPING_KEY,
    "DisabledException": _WRAPPING_KEY_NOT_ENABLED,
    "KMSInvalidStateException": _WRAPPING_KEY_NOT_ENABLED,
    "InvalidKeyUsageException": _NO_WRAPPING_KEY_AT_ALL,
    "KeyUnavailableException": Fault(
        EngineUnavailable, "AWS KMS cannot reach the key now that encrypts signing keys.", _KEY_AWAY.advice
    ),
}

_WRAPPING_FAULTS = Faults(ROWS, WRAPPING_ANSWERS, EXCEPTIONS, OPERATIONS)


def faults_of(operation: str) -> Faults:
    """The tables for what goes wrong in an operation."""
    return _WRAPPING_FAULTS if operation in {"Decrypt", "GenerateDataKey"} else FAULTS
