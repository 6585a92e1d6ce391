"""Parses and serializes the messages of Envoy's secret discovery service."""

from collections.abc import Iterable
from typing import Any

from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.mesh.protos import EnvoyProtos
from tokend_server.mesh.xds import MAX_NAMES, DeltaRequest, DeltaResponse, Resource, SotwRequest, SotwResponse
from tokend_server.model import IssuedToken
from tokend_server.rpc.interceptors.layers import deserialized

SERVICE = "envoy.service.secret.v3.SecretDiscoveryService"

_DISCOVERY = "envoy.service.discovery.v3."
_SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - the name of a message
_TYPE_URL = f"type.googleapis.com/{_SECRET}"

#: The maximum length of a name in a request.
_MAX_NAME_LENGTH = 1024


class SdsMessages:
    """Parses and serializes messages.

    Args:
        protos: The classes of the messages.
    """

    def __init__(self, protos: EnvoyProtos) -> None:
        self._sotw_request = protos.message(f"{_DISCOVERY}DiscoveryRequest")
        self._sotw_response = protos.message(f"{_DISCOVERY}DiscoveryResponse")
        self._delta_request = protos.message(f"{_DISCOVERY}DeltaDiscoveryRequest")
        self._delta_response = protos.message(f"{_DISCOVERY}DeltaDiscoveryResponse")
        self._secret = protos.message(_SECRET)

    def token_secret(self, name: str, issued: IssuedToken) -> bytes:
        """Returns a token as a generic secret."""
        return self._generic_secret(name, {"inline_string": issued.token.reveal()})

    def key_set_secret(self, name: str, jwks: bytes) -> bytes:
        """Returns a key set as a generic secret."""
        return self._generic_secret(name, {"inline_string": jwks.decode()})

    def parse_sotw_request(self, serialized: bytes) -> SotwRequest:
        """Parses a DiscoveryRequest.

        Raises:
            ValidationFailed: It is malformed, or requests too many secrets or other resources.
        """
        message = deserialized(serialized, self._sotw_request.FromString)
        names = tuple(message.resource_names)
        _check(message, {"resource_names": names})
        return SotwRequest(names, message.response_nonce, message.HasField("error_detail"))

    def parse_delta_request(self, serialized: bytes) -> DeltaRequest:
        """Parses a DeltaDiscoveryRequest; raises as `parse_sotw_request`."""
        message = deserialized(serialized, self._delta_request.FromString)
        names = {
            "resource_names_subscribe": tuple(message.resource_names_subscribe),
            "resource_names_unsubscribe": tuple(message.resource_names_unsubscribe),
            "initial_resource_versions": tuple(message.initial_resource_versions),
        }
        _check(message, names)
        subscribe, unsubscribe, _ = names.values()
        held = dict(message.initial_resource_versions)
        return DeltaRequest(subscribe, unsubscribe, held, message.response_nonce, message.HasField("error_detail"))

    def serialize_sotw_response(self, response: SotwResponse) -> bytes:
        """Serializes a DiscoveryResponse."""
        message = self._sotw_response(
            version_info=response.version_info,
            resources=[_to_any(each) for each in response.resources],
            type_url=_TYPE_URL,
            nonce=response.nonce,
        )
        return _serialize(message)

    def serialize_delta_response(self, response: DeltaResponse) -> bytes:
        """Serializes a DeltaDiscoveryResponse."""
        resources = [
            {"name": each.name, "version": each.version, "resource": _to_any(each)} for each in response.resources
        ]
        message = self._delta_response(
            resources=resources,
            removed_resources=response.removed_resources,
            type_url=_TYPE_URL,
            nonce=response.nonce,
        )
        return _serialize(message)

    def _generic_secret(self, name: str, data: dict[str, str]) -> bytes:
        return _serialize(self._secret(name=name, generic_secret={"secret": data}))


def _to_any(resource: Resource) -> dict[str, Any]:
    """Returns the members of a google.protobuf.Any."""
    return {"type_url": _TYPE_URL, "value": resource.contents}


def _serialize(message: Any) -> bytes:  # noqa: ANN401 - any message
    written: bytes = message.SerializeToString(deterministic=True)
    return written


def _check(message: Any, named: dict[str, tuple[str, ...]]) -> None:  # noqa: ANN401 - either request
    violations = []
    if message.type_url not in {"", _TYPE_URL}:
        violations.append(FieldViolation("type_url", f"Member must be {_TYPE_URL}"))
    violations += [violation for name, values in named.items() for violation in _length_violations(name, values)]
    if violations:
        raise ValidationFailed(violations)


def _length_violations(field: str, names: tuple[str, ...]) -> Iterable[FieldViolation]:
    if len(names) > MAX_NAMES:
        yield FieldViolation(field, f"Member must have length less than or equal to {MAX_NAMES}")
    if any(len(name) > _MAX_NAME_LENGTH for name in names):
        yield FieldViolation(f"{field}.member", f"Member must have length less than or equal to {_MAX_NAME_LENGTH}")
