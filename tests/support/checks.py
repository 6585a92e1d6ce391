"""Envoy's CheckRequests, and the contents of its CheckResponses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.struct_pb2 import Struct

from tokend_server.mesh.authorization import MAPPING_KEY, SERVICE_NAME
from tokend_server.mesh.protos import EnvoyProtos

PROTOS = EnvoyProtos()
CHECK = f"/{SERVICE_NAME}/Check"
JWT_AUTHN = "envoy.filters.http.jwt_authn"

_REQUEST = PROTOS.message("envoy.service.auth.v3.CheckRequest")
_RESPONSE = PROTOS.message("envoy.service.auth.v3.CheckResponse")


def check_request(
    mapping: str | None = "web",
    claims: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    raw_headers: Sequence[tuple[str, bytes]] = (),
) -> Any:  # noqa: ANN401 - a message
    """Returns a request for a route, with the claims that jwt_authn has verified, if any."""
    request = _REQUEST()
    attributes = request.attributes
    if mapping is not None:
        attributes.context_extensions[MAPPING_KEY] = mapping
    if claims is not None:
        metadata = Struct()
        metadata.update({"payload": dict(claims)})
        attributes.metadata_context.filter_metadata[JWT_AUTHN].MergeFromString(metadata.SerializeToString())
    attributes.request.http.headers.update(headers or {})
    for key, value in raw_headers:
        attributes.request.http.header_map.headers.add(key=key, raw_value=value)
    return request


@dataclass(frozen=True)
class Answer:
    """The effect of a CheckResponse in Envoy.

    Attributes:
        status: The HTTP status of a denied request; None for an allowed one.
        code: The gRPC status code in it.
        headers: The headers that are added to the request, or to the response of a denied one.
        removed: The headers that are removed from an allowed request.
    """

    status: int | None
    code: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


def read_answer(response: bytes) -> Answer:
    message = _RESPONSE.FromString(response)
    denied = message.WhichOneof("http_response") == "denied_response"
    part = message.denied_response if denied else message.ok_response
    assert all(option.append_action == option.OVERWRITE_IF_EXISTS_OR_ADD for option in part.headers)
    return Answer(
        part.status.code if denied else None,
        message.status.code,
        {option.header.key: option.header.value for option in part.headers},
        () if denied else tuple(part.headers_to_remove),
    )
