"""Applies Cognito's quota, the tables of its errors and the metrics to each request of a call."""

from tokend_server.aws.transport import UpstreamCall
from tokend_server.engines.cognito.faults import FAULTS
from tokend_server.engines.cognito.quota import Quota
from tokend_server.metrics import Metrics
from tokend_server.model import Operation


class RegionAttempts:
    """The `RetryDecisions` of the requests to a region.

    Args:
        region: The Region, which is the label of its metrics.
        quota: The quota that retries use, as first attempts do.
        metrics: The metrics of requests.
    """

    def __init__(self, region: str, quota: Quota, metrics: Metrics) -> None:
        self._region = region
        self._quota = quota
        self._metrics = metrics

    def is_transient(self, failure: Exception | str) -> bool:
        return FAULTS.is_transient(failure)

    def allows_retry(self, call: UpstreamCall) -> bool:
        return not self._quota.take(Operation(call.operation))

    def observe(self, call: UpstreamCall, seconds: float, failure: Exception | str) -> None:
        labels = (self._region, call.operation)
        self._metrics.cognito_request_seconds.labels(*labels).observe(seconds)
        if failure:
            self._metrics.cognito_request_failures.labels(*labels, FAULTS.label(failure)).inc()
