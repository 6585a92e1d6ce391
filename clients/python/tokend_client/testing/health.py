"""grpc.health.v1 for clients' health watches: SERVING as long as the server runs."""

import threading
from collections.abc import Iterator

import grpc

#: HealthCheckResponse(status=SERVING) on the wire.
_SERVING = b"\x08\x01"


def health_handler() -> grpc.GenericRpcHandler:
    """Returns a handler of `Watch`. Each watch occupies a thread of the server until it ends."""
    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Watch": grpc.unary_stream_rpc_method_handler(_watch)}
    )


def _watch(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    ended = threading.Event()
    context.add_callback(ended.set)
    yield _SERVING
    ended.wait()
