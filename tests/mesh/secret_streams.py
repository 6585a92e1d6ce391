"""Clients of the secret discovery service, with Envoy's own messages."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import grpc

from tokend_server.mesh.protos import EnvoyProtos
from tokend_server.mesh.sds_messages import SERVICE

TIMEOUT = 20

_PROTOS = EnvoyProtos()
_DISCOVERY = "envoy.service.discovery.v3."
WORLD_REQUEST = _PROTOS.message(f"{_DISCOVERY}DiscoveryRequest")
WORLD_RESPONSE = _PROTOS.message(f"{_DISCOVERY}DiscoveryResponse")
DELTA_REQUEST = _PROTOS.message(f"{_DISCOVERY}DeltaDiscoveryRequest")
DELTA_RESPONSE = _PROTOS.message(f"{_DISCOVERY}DeltaDiscoveryResponse")
SECRET = _PROTOS.message("envoy.extensions.transport_sockets.tls.v3.Secret")

OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


def world(*names: str, **fields: Any) -> Any:  # noqa: ANN401 - a message
    return WORLD_REQUEST(resource_names=names, **fields)


def delta(*subscribe: str, **fields: Any) -> Any:  # noqa: ANN401 - as above
    return DELTA_REQUEST(resource_names_subscribe=subscribe, **fields)


def secrets_of(response: Any) -> dict[str, str]:  # noqa: ANN401 - either response
    """Returns the texts of the secrets in a response, by their names."""
    packed = [getattr(each, "resource", each) for each in response.resources]
    secrets = [SECRET.FromString(each.value) for each in packed]
    return {each.name: each.generic_secret.secret.inline_string for each in secrets}


class Stream:
    """A stream of either variant, which ends with the `with` block.

    Args:
        channel: Its connection.
        method: `StreamSecrets` or `DeltaSecrets`.
        metadata: The caller's metadata.
    """

    def __init__(self, channel: grpc.Channel, method: str, metadata: Sequence[tuple[str, str]] = ()) -> None:
        response = WORLD_RESPONSE if method == "StreamSecrets" else DELTA_RESPONSE
        open_stream: Any = channel.stream_stream(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.call: Any = open_stream(iter(self._requests.get, None), timeout=TIMEOUT, metadata=tuple(metadata))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()
        self.call.cancel()

    def send(self, message: Any) -> None:  # noqa: ANN401 - as above
        self._requests.put(message)

    def receive(self) -> Any:  # noqa: ANN401 - as above
        """Returns the next response; raises `grpc.RpcError` if the stream failed, `StopIteration` if it ended."""
        return next(self.call)

    def ask(self, message: Any) -> Any:  # noqa: ANN401 - as above
        self.send(message)
        return self.receive()

    def acknowledge(self, response: Any, *names: str) -> None:  # noqa: ANN401 - as above
        if isinstance(response, WORLD_RESPONSE):
            self.send(world(*names, version_info=response.version_info, response_nonce=response.nonce))
        else:
            self.send(delta(response_nonce=response.nonce))

    def end(self) -> None:
        self._requests.put(None)


def fetch(channel: grpc.Channel, message: Any, metadata: Sequence[tuple[str, str]] = ()) -> Any:  # noqa: ANN401 - as above
    method: Any = channel.unary_unary(
        f"/{SERVICE}/FetchSecrets",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=WORLD_RESPONSE.FromString,
    )
    return method(message, timeout=TIMEOUT, metadata=tuple(metadata))


@contextmanager
def connection(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address, OPTIONS) as channel:
        yield channel
