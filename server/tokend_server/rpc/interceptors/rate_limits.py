"""The layer that enforces the limits of each caller."""

from functools import wraps
from typing import Any

import grpc

from tokend_server.access.rate_limits import RateLimits
from tokend_server.rpc.call import current_call
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method


def limiting_rates(limits: RateLimits) -> Layer:
    """Returns a layer that refuses calls of a caller that exceeds its limits."""

    def layer(_method: Method, behavior: Behavior) -> Behavior:
        @wraps(behavior)
        def limited(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            usage = limits.begin(current_call().caller)
            try:
                return behavior(request, context, *rest)
            finally:
                if usage:
                    usage.end()

        return limited

    return layer
