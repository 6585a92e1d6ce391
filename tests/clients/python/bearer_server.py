"""A user's gRPC service that records its callers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from tests.clients.python.facades import TIMEOUT

METHOD = "/example.Orders/List"


class BearerServer:
    """A service that records the `authorization` of each call, None if there is none.

    Attributes:
        address: Its address.
        seen: The recorded values, in order.
    """

    def __init__(self) -> None:
        self.address = ""
        self.seen: list[str | None] = []

    def __call__(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        authorization = metadata.get("authorization")
        self.seen.append(authorization if authorization is None else str(authorization))
        return b"done"


@contextmanager
def bearer_server(
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
    service: BearerServer | None = None,
) -> Iterator[BearerServer]:
    service = service or BearerServer()
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    handler: Any = grpc.unary_unary_rpc_method_handler(service)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("example.Orders", {"List": handler}),))
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    service.address = address.replace("127.0.0.1:0", f"127.0.0.1:{port}")
    server.start()
    try:
        yield service
    finally:
        server.stop(None).wait()


def call(channel: grpc.Channel) -> bytes:
    """Calls the service."""
    send: Any = channel.unary_unary(METHOD)
    answer: bytes = send(b"", timeout=TIMEOUT)
    return answer


def begin(channel: grpc.Channel) -> Any:  # noqa: ANN401 - a future and the status of its call in one
    """Starts a call of the service."""
    send: Any = channel.unary_unary(METHOD)
    return send.future(b"", timeout=TIMEOUT)
