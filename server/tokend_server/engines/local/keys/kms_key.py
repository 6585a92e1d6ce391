"""One key in KMS."""

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

#: The names of KMS for what the algorithms sign with (API reference of Sign, SigningAlgorithm).
SIGNING_ALGORITHMS: Mapping[SigningAlgorithm, str] = {
    SigningAlgorithm.RS512: "RSASSA_PKCS1_V1_5_SHA_512",
    SigningAlgorithm.RS256: "RSASSA_PKCS1_V1_5_SHA_256",
    SigningAlgorithm.ES256: "ECDSA_SHA_256",
}

#: Seconds for which a signature, and a failure that lasts, tell a check what it would find.
GOOD_FOR = 60.0
BAD_FOR = 15.0

#: Seconds that a check takes at most.
_CHECK_TIMEOUT = 1.0

#: What a check asks for a signature of.
_NOTHING = b"tokend: would this be signed?"


class _Seen(NamedTuple):
    """What the latest answer of KMS's said of a key: the trouble with it, if any, and until when that counts."""

    until: float
    trouble: LastingError | None


class KmsKey:
    """The `PrivateKey` of a key in KMS.

    Args:
        api: KMS in the region of the key.
        key_arn: The key.
        algorithm: What it signs with.
        public_key: Its public part.
        quota: What each signature takes from; None for nothing.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a key is made of
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
        self._seen = _Seen(clock.monotonic(), None)

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
        seen = self._seen
        if self._clock.monotonic() >= seen.until:
            seen = self._ask()
        if seen.trouble:
            raise seen.trouble.with_traceback(None)  # else it grows with each check

    def _signed(self, data: bytes, deadline: Deadline) -> bytes:
        digest = self._verifier.digest(data)
        answered = self._api.sign(self._asked(digest), self._quota, deadline)
        # What does not verify would be refused by every verifier, so it does not leave.
        signature = self._verifier.verified(digest, answered["Signature"])
        if signature is None:
            raise ROWS.not_service.to_error()
        return signature

    def _ask(self) -> _Seen:
        deadline = Deadline(self._clock, self._clock.monotonic() + _CHECK_TIMEOUT)
        try:
            # The one fails in every state of a key in which Sign fails, the other without the right to Sign.
            self._api.call("GetPublicKey", {"KeyId": self._key_arn}, deadline)
            self._api.would_sign(self._asked(self._verifier.digest(_NOTHING)), deadline)
        except LastingError as error:
            error.advice += f" The key is {self._key_arn}."
            return self._remember(error)
        except (DeadlineExceeded, RetryableError):  # every process would meet it, and none can mend it
            return self._remember(None, BAD_FOR)
        return self._remember(None)

    def _remember(self, trouble: LastingError | None, seconds: float | None = None) -> _Seen:
        counts = seconds or (BAD_FOR if trouble else GOOD_FOR)
        self._seen = seen = _Seen(self._clock.monotonic() + counts, trouble)
        return seen

    def _asked(self, digest: bytes) -> Mapping[str, object]:
        """A digest, since KMS takes no more than 4,096 bytes of a message; so it does not see what is in tokens."""
        return {
            "KeyId": self._key_arn,
            "Message": digest,
            "MessageType": "DIGEST",
            "SigningAlgorithm": SIGNING_ALGORITHMS[self._algorithm],
        }


class _Verifier:
    """Verifies what KMS signs with a key, and puts it into the form of JWS."""

    def __init__(self, public_key: RSAKey | ECKey, algorithm: SigningAlgorithm) -> None:
        self._hash = HASHES[algorithm]()
        hashed = Prehashed(self._hash)
        # What `verify` takes besides the signature and the digest.
        self._form: tuple[Any, ...] = (ECDSA(hashed),) if isinstance(public_key, ECKey) else (PKCS1v15(), hashed)
        self._form_of_jws = concatenated if isinstance(public_key, ECKey) else bytes
        self._verify: Callable[..., None] = public_key.get_op_key("verify").verify

    def digest(self, data: bytes) -> bytes:
        return hashlib.new(self._hash.name, data).digest()

    def verified(self, digest: bytes, signature: bytes) -> bytes | None:
        """A signature of the digest as JWS has it; None if it is none."""
        try:
            self._verify(signature, digest, *self._form)
            return self._form_of_jws(signature)
        except (InvalidSignature, ValueError):
            return None
