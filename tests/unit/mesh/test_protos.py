"""Envoy's messages next to those of the same names in other libraries."""

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool, struct_pb2
from google.rpc import status_pb2

from tokend_server.mesh.protos import EnvoyProtos

CHECK_REQUEST, CHECK_RESPONSE = "envoy.service.auth.v3.CheckRequest", "envoy.service.auth.v3.CheckResponse"


@pytest.mark.parametrize(
    ("service", "methods"),
    [
        ("envoy.service.auth.v3.Authorization", ["Check"]),
        ("envoy.service.secret.v3.SecretDiscoveryService", ["DeltaSecrets", "FetchSecrets", "StreamSecrets"]),
    ],
)
def test_the_services_have_their_methods(service: str, methods: list[str]) -> None:
    assert sorted(method.name for method in EnvoyProtos().service(service).methods) == methods


def test_a_request_is_read_as_it_was_written() -> None:
    request = EnvoyProtos().message(CHECK_REQUEST)()
    request.attributes.request.http.headers["x-user"] = "alice"
    request.attributes.context_extensions["tokend.mapping"] = "web"
    payload = struct_pb2.Struct()
    payload.update({"payload": {"sub": "alice"}})
    request.attributes.metadata_context.filter_metadata["jwt"].ParseFromString(payload.SerializeToString())
    read = EnvoyProtos().message(CHECK_REQUEST).FromString(request.SerializeToString())
    assert read.attributes.request.http.headers["x-user"] == "alice"
    assert read.attributes.metadata_context.filter_metadata["jwt"]["payload"]["sub"] == "alice"


def test_the_default_descriptor_pool_has_no_messages_of_envoy() -> None:
    EnvoyProtos()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName(CHECK_REQUEST)
    # The status with the same name there is another class, with the same bytes.
    response = EnvoyProtos().message(CHECK_RESPONSE)()
    response.status.code = 7
    assert status_pb2.Status.FromString(response.status.SerializeToString()).code == 7
    assert type(response.status) is not status_pb2.Status


#: Libraries with files of the same names, or that would break with those of an older release.
PROGRAM = """
{first}
{second}
import google.api.annotations_pb2, google.api.http_pb2, google.rpc.error_details_pb2, google.rpc.status_pb2
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
"""

LOAD = "from tokend_server.mesh.protos import EnvoyProtos; EnvoyProtos()"


@pytest.mark.parametrize("order", [(LOAD, ""), ("import google.api.annotations_pb2, google.rpc.status_pb2", LOAD)])
def test_the_protos_load_before_and_after_other_libraries(order: tuple[str, str]) -> None:
    program = PROGRAM.format(first=order[0], second=order[1])
    subprocess.run([sys.executable, "-c", program], check=True)
