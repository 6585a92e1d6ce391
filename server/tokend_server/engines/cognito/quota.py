from tokend_server.clock import Clock
from tokend_server.model import Operation
from tokend_server.token_bucket import TokenBucket


class Quota:
    """Keeps the requests to a region below Cognito's quota, which counts each operation for itself.

    Source: "Quotas in Amazon Cognito", operations of identity pools.

    Args:
        requests_per_second: For each operation; zero sets no limit.
        burst: How many more are let through at once after a pause.
        clock: The time.
    """

    def __init__(self, requests_per_second: float, burst: int, clock: Clock) -> None:
        limited = Operation if requests_per_second else ()
        self._buckets = {operation: TokenBucket(requests_per_second, burst, clock) for operation in limited}

    def take(self, operation: Operation) -> float:
        """Takes one request's worth.

        Returns:
            Zero when it was taken; else the seconds until there will be one.
        """
        bucket = self._buckets.get(operation)
        return bucket.take() if bucket else 0.0
