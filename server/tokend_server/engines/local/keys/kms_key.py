"""A signing key in KMS."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.kms_api import KmsApi
from tokend_server.engines.local.keys.kms_fault_rows import ROWS
from tokend_server.engines.local.keys.signatures import HASHES, concatenated
from tokend_server.errors import DeadlineExceeded, LastingError, RetryableError
from tokend_server.token_bucket import TokenBucket

#: KMS's names of the algorithms (API reference of Sign, SigningAlgorithm).
SIGNING_ALGORITHMS: Mapping[SigningAlgorithm, str] = {
    SigningAlgorithm.RS512: "RSASSA_PKCS1_V1_5_SHA_512",
    SigningAlgorithm.RS256: "RSASSA_PKCS1_V1_5_SHA_256",
    SigningAlgorithm.ES256: "ECDSA_SHA_256",
}

#: Seconds for which checks use the result of a signature or a lasting failure.
SUCCESS_SECONDS = 60.0
FAILURE_SECONDS = 15.0

#: The timeout of a check in seconds.
_CHECK_TIMEOUT = 1.0

#: The data of the dry run in a check.
_DRY_RUN_DATA = b"tokend: would this be signed?"


class _CheckResult(NamedTuple):
    """The latest result for a key: its problem, if any, and until when the result is used."""

    until: float
    problem: LastingError | None


class KmsKey:
    """The `PrivateKey` of a key in KMS.

    Args:
        api: KMS in the region of the key.
        key_arn: The key.
        algorithm: Its algorithm.
        public_key: Its public part.
        quota: The quota that each signature uses; None for no quota.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        api: KmsApi,
        key_arn: str,
        algorithm: SigningAlgorithm,
        public_key: RSAKey | ECKey,
        quota: TokenBucket | None,
        clock: Clock,
    ) -> None:
        self.public_key = public_key
        self._verifier = _Verifier(public_key, algorithm)
        self._api = api
        self._key_arn = key_arn
        self._algorithm = algorithm
        self._quota = quota
        self._clock = clock
        self._last_result = _CheckResult(clock.monotonic(), None)

    def sign(self, data: bytes, deadline: Deadline) -> bytes:
        try:
            signature = self._signed(data, deadline)
        except LastingError as error:
            error.advice += f" The key is {self._key_arn}."
            self._remember(error)
            raise
        self._remember(None)
        return signature

    def check(self) -> None:
        result = self._last_result
        if self._clock.monotonic() >= result.until:
            result = self._check_in_kms()
        if result.problem:
            raise result.problem.with_traceback(None)  # otherwise the traceback grows with each check

    def _signed(self, data: bytes, deadline: Deadline) -> bytes:
        digest = self._verifier.digest(data)
        response = self._api.sign(self._request(digest), self._quota, deadline)
        # Every verifier would reject a signature that does not verify, so it is not returned.
        signature = self._verifier.verified(digest, response["Signature"])
        if signature is None:
            raise ROWS.not_service.to_error()
        return signature

    def _check_in_kms(self) -> _CheckResult:
        deadline = Deadline(self._clock).within(_CHECK_TIMEOUT)
        try:
            # GetPublicKey fails in every state of a key in which Sign fails, the dry run without permission to Sign.
            self._api.call("GetPublicKey", {"KeyId": self._key_arn}, deadline)
            self._api.would_sign(self._request(self._verifier.digest(_DRY_RUN_DATA)), deadline)
        except LastingError as error:
            error.advice += f" The key is {self._key_arn}."
            return self._remember(error)
        except (DeadlineExceeded, RetryableError):  # every process would fail in the same way
            return self._remember(None, FAILURE_SECONDS)
        return self._remember(None)

    def _remember(self, problem: LastingError | None, seconds: float | None = None) -> _CheckResult:
        counts = seconds or (FAILURE_SECONDS if problem else SUCCESS_SECONDS)
        self._last_result = result = _CheckResult(self._clock.monotonic() + counts, problem)
        return result

    def _request(self, digest: bytes) -> Mapping[str, object]:
        """Returns a request with a digest: KMS limits messages to 4,096 bytes, and so does not see tokens."""
        return {
            "KeyId": self._key_arn,
            "Message": digest,
            "MessageType": "DIGEST",
            "SigningAlgorithm": SIGNING_ALGORITHMS[self._algorithm],
        }


class _Verifier:
    """Verifies signatures of KMS, and converts them to the format of JWS."""

    def __init__(self, public_key: RSAKey | ECKey, algorithm: SigningAlgorithm) -> None:
        self._hash = HASHES[algorithm]()
        hashed = Prehashed(self._hash)
        # The further arguments of `verify`.
        self._form: tuple[Any, ...] = (ECDSA(hashed),) if isinstance(public_key, ECKey) else (PKCS1v15(), hashed)
        self._form_of_jws = concatenated if isinstance(public_key, ECKey) else bytes
        self._verify: Callable[..., None] = public_key.get_op_key("verify").verify

    def digest(self, data: bytes) -> bytes:
        return hashlib.new(self._hash.name, data).digest()

    def verified(self, digest: bytes, signature: bytes) -> bytes | None:
        """Returns a signature of the digest in the format of JWS; None if it does not verify."""
        try:
            self._verify(signature, digest, *self._form)
            return self._form_of_jws(signature)
        except (InvalidSignature, ValueError):
            return None
