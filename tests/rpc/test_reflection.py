"""gRPC reflection: all that a client needs to make a call without the contract's files."""

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.fakes.scripted_engine import IDENTITY_ID
from tests.support.grpc_service import POOL_ID, TIMEOUT, GrpcService, failure, grpc_service

from tokend.v1 import developer_identity_service_pb2 as pb

SERVICE = "tokend.v1.DeveloperIdentityService"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def reflected_service(channel: grpc.Channel) -> ServiceDescriptor:
    return DescriptorPool(ProtoReflectionDescriptorDatabase(channel)).FindServiceByName(SERVICE)


def test_the_services_are_listed(service: GrpcService) -> None:
    names = ProtoReflectionDescriptorDatabase(service.channel).get_services()
    assert set(names) == {SERVICE, "grpc.health.v1.Health", REFLECTION}


def test_reflection_returns_the_unchanged_contract(service: GrpcService) -> None:
    database = ProtoReflectionDescriptorDatabase(service.channel)
    given = database.FindFileContainingSymbol(SERVICE)
    assert given.SerializeToString() == pb.DESCRIPTOR.serialized_pb
    names = [database.FindFileByName(name).name for name in given.dependency]
    assert names == ["google/protobuf/duration.proto", "google/protobuf/timestamp.proto"]


def test_a_call_can_be_made_with_reflected_descriptors(service: GrpcService) -> None:
    method = reflected_service(service.channel).FindMethodByName("GetOpenIdTokenForDeveloperIdentity")
    assert method is not None
    request_type, response_type = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    request = request_type(
        identity_pool_id=POOL_ID, logins={"login.example.test": "alice"}, token_duration={"seconds": 60}
    )
    call = service.channel.unary_unary(
        f"/{SERVICE}/{method.name}", request_type.SerializeToString, response_type.FromString
    )
    response = call(request, timeout=TIMEOUT)
    values = {field.name: value for field, value in response.ListFields()}
    assert (values["identity_id"], values["token"]) == (IDENTITY_ID, "header.claims.signature")
    assert values["expire_time"].seconds == 1_800_000_900
    assert type(response) is not pb.GetOpenIdTokenForDeveloperIdentityResponse


def test_reflection_can_be_disabled() -> None:
    with grpc_service(reflection=False) as service:
        database = ProtoReflectionDescriptorDatabase(service.channel)
        assert failure(database.get_services).code is grpc.StatusCode.UNIMPLEMENTED
        service.call("LookupDeveloperIdentity")
