from tokend_server.clock import Clock
from tokend_server.model import Operation
from tokend_server.token_bucket import TokenBucket


class Quota:
    """Keeps the requests to a Region below Cognito's quota, which applies to each operation separately.

    Source: "Quotas in Amazon Cognito", operations of identity pools.

    Args:
        requests_per_second: The rate of each operation; 0 for no limit.
        burst: The number of further requests at once after a pause.
        clock: The time.
    """

    def __init__(self, requests_per_second: float, burst: int, clock: Clock) -> None:
        limited = Operation if requests_per_second else ()
        self._buckets = {operation: TokenBucket(requests_per_second, burst, clock) for operation in limited}

    def take(self, operation: Operation) -> float:
        """Takes one request from the quota.

        Returns:
            0 if it was taken, or the seconds until the next one is available.
        """
        bucket = self._buckets.get(operation)
        return bucket.take() if bucket else 0.0
