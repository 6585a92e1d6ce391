"""The calls to AWS KMS in one Region, with limits of their time, rate and concurrency."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from tokend_server.aws.client import methods_of
from tokend_server.aws.faults import error_code
from tokend_server.aws.transport import CURRENT_UPSTREAM_CALL, UpstreamCall
from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.keys.kms_fault_rows import DRY_RUN_PASSED, FAULTS, OPERATIONS, ROWS, faults_of
from tokend_server.errors import EngineUnavailable, TooManyRequests
from tokend_server.metrics import Metrics
from tokend_server.token_bucket import TokenBucket

#: The members of a response, as AWS names them.
Response: TypeAlias = Mapping[str, Any]


@dataclass(slots=True)
class KmsCall(UpstreamCall):
    """A call to KMS, with its retries.

    Attributes:
        quota: The quota that each of its requests uses; None for no quota.
    """

    quota: TokenBucket | None = None


class _DryRunPassed(Exception):
    """Raised when KMS answers to a dry run that the request would have succeeded."""


class EncryptedWithOtherKey(Exception):
    """Raised when KMS has encrypted a ciphertext with a key other than the named one."""


class CiphertextRejected(Exception):
    """Raised when KMS has not encrypted a ciphertext, or not with this encryption context."""


#: The errors about a ciphertext, by the code of KMS's response to Decrypt.
_CIPHERTEXT_ERRORS: Mapping[str, type[Exception]] = {
    "IncorrectKeyException": EncryptedWithOtherKey,
    "InvalidCiphertextException": CiphertextRejected,
}


class KmsApi:
    """The calls for all keys in a Region.

    Args:
        client: boto3's client for the Region, whose connections and retries respect the call's deadline.
        region: The Region, which is the label of its metrics.
        max_calls: The maximum number of concurrent signatures.
        timeout: The timeout of calls in seconds, whatever the caller's deadline.
        metrics: The metrics of refusals.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913
        self,
        client: Any,  # noqa: ANN401 - boto3's clients have no types
        region: str,
        *,
        max_calls: int,
        timeout: float,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._methods = methods_of(client, OPERATIONS)
        self._close = client.close
        self._admission = threading.BoundedSemaphore(max_calls)
        self._timeout = timeout
        self._refused = {limit: metrics.kms_refused.labels(region, limit) for limit in ("calls", "quota")}
        self._clock = clock

    def sign(self, request: Mapping[str, object], quota: TokenBucket | None, deadline: Deadline) -> Response:
        """Calls Sign for a caller.

        Raises:
            DeadlineExceeded: The deadline passed.
            TooManyRequests: Too many callers wait, or the quota is exhausted.
            EngineUnavailable: KMS does not answer.
            LastingError: KMS refuses to sign until an operator acts.
        """
        deadline.check()
        with self._admitted():
            if quota and (wait := quota.take()):
                self._refused["quota"].inc()
                raise TooManyRequests("Rate exceeded", retry_after=wait)
            return self.call("Sign", request, deadline, quota)

    def would_sign(self, request: Mapping[str, object], deadline: Deadline) -> None:
        """Checks by a dry run that Sign would succeed (KMS developer guide, "Testing your permissions").

        Raises:
            DeadlineExceeded: The deadline passed.
            TooManyRequests: KMS throttles.
            EngineUnavailable: KMS does not answer.
            LastingError: KMS would refuse to sign until an operator acts.
        """
        with suppress(_DryRunPassed):
            self.call("Sign", {**request, "DryRun": True}, deadline)

    def call(
        self,
        operation: str,
        request: Mapping[str, object],
        deadline: Deadline | None = None,
        quota: TokenBucket | None = None,
    ) -> Response:
        """Calls an operation; `quota` is used by each retry.

        Raises:
            EncryptedWithOtherKey: The ciphertext for Decrypt is of another key.
            CiphertextRejected: The ciphertext for Decrypt is of no key, or of another encryption context.
            DeadlineExceeded: The deadline passed.
            TooManyRequests: KMS throttles.
            EngineUnavailable: KMS does not answer.
            LastingError: KMS does not do it, until an operator acts.
        """
        limit = (deadline or Deadline(self._clock)).within(self._timeout)
        token = CURRENT_UPSTREAM_CALL.set(KmsCall(operation, limit, quota=quota))
        try:
            response = self._methods[operation](**request)
        except Exception as error:  # noqa: BLE001 - the tables sort what boto3 raises
            if error_code(error) == DRY_RUN_PASSED:
                raise _DryRunPassed from None
            if operation == "Decrypt" and (what := _CIPHERTEXT_ERRORS.get(error_code(error))):
                raise what from None
            if not limit.remaining():  # whatever the error, a lack of time may be the cause
                if deadline is not None:
                    deadline.check()
                raise EngineUnavailable("AWS KMS did not answer in time.") from None
            # An error without a row is a defect of tokend.
            raise (fault.to_error() if (fault := faults_of(operation).row(error)) else error) from None
        finally:
            CURRENT_UPSTREAM_CALL.reset(token)
        if OPERATIONS[operation] not in response:
            raise ROWS.not_service.to_error()
        return response

    def close(self) -> None:
        """Closes the connections."""
        self._close()

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if not self._admission.acquire(blocking=False):
            self._refused["calls"].inc()
            raise TooManyRequests("Too many calls are waiting for AWS KMS.")
        try:
            yield
        finally:
            self._admission.release()


class KmsAttempts:
    """The `RetryDecisions` of the requests to a region.

    Args:
        region: The Region, which is the label of its metrics.
        metrics: The metrics of requests.
    """

    def __init__(self, region: str, metrics: Metrics) -> None:
        self._region = region
        self._metrics = metrics

    def is_transient(self, failure: Exception | str) -> bool:
        return FAULTS.is_transient(failure)

    def allows_retry(self, call: UpstreamCall) -> bool:
        quota = call.quota if isinstance(call, KmsCall) else None
        return quota is None or not quota.take()

    def observe(self, call: UpstreamCall, seconds: float, failure: Exception | str) -> None:
        labels = (self._region, call.operation)
        self._metrics.kms_request_seconds.labels(*labels).observe(seconds)
        if failure and failure != DRY_RUN_PASSED:
            self._metrics.kms_request_failures.labels(*labels, FAULTS.label(failure)).inc()
