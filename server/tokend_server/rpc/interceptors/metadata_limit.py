"""The layer that refuses calls with too much metadata."""

from functools import wraps
from typing import Any

import grpc

from tokend_server.errors import MetadataTooLarge
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method

#: What HTTP/2 adds to the length of a header field for its size (RFC 9113, section 6.5.2).
FIELD_OVERHEAD = 32


def limiting_metadata(most_bytes: int) -> Layer:
    """A layer that measures metadata itself: gRPC's own limit binds only clients that acknowledge its settings."""

    def layer(_method: Method, behavior: Behavior) -> Behavior:
        @wraps(behavior)
        def limited(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            size = 0
            for key, value in context.invocation_metadata():
                size += len(key) + len(value) + FIELD_OVERHEAD
            if size > most_bytes:
                raise MetadataTooLarge(f"The metadata of a call may have at most {most_bytes} bytes.")
            return behavior(request, context, *rest)

        return limited

    return layer
