import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from tokend_server.errors import ValidationFailed
from tokend_server.mesh.protos import EnvoyProtos
from tokend_server.mesh.sds_messages import SdsMessages
from tokend_server.mesh.xds import DeltaRequest, DeltaResponse, Resource, SotwRequest, SotwResponse

PROTOS = EnvoyProtos()
MESSAGES = SdsMessages(PROTOS)
DISCOVERY = "envoy.service.discovery.v3."
SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"
TYPE_URL = f"type.googleapis.com/{SECRET}"
REJECTION = {"code": 3, "message": "it is none"}

WORLD, DELTA = (PROTOS.message(f"{DISCOVERY}{name}Request") for name in ("Discovery", "DeltaDiscovery"))


def test_a_request_for_the_state_of_the_world_is_read() -> None:
    message = WORLD(
        version_info="v", resource_names=["a", "b"], type_url=TYPE_URL, response_nonce="7", error_detail=REJECTION
    )
    assert MESSAGES.parse_sotw_request(message.SerializeToString()) == SotwRequest(("a", "b"), "7", rejects=True)


def test_a_request_for_deltas_is_read() -> None:
    message = DELTA(
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"c": "v"},
        response_nonce="7",
    )
    assert MESSAGES.parse_delta_request(message.SerializeToString()) == DeltaRequest(("a",), ("b",), {"c": "v"}, "7")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (WORLD(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster"), "type_url"),
        (WORLD(resource_names=["a"] * 1001), "resource_names"),
        (WORLD(resource_names=["a" * 1025]), "resource_names.member"),
    ],
)
def test_requests_outside_the_limits_are_rejected(message: Message, field: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        MESSAGES.parse_sotw_request(message.SerializeToString())
    assert [each.field for each in caught.value.violations] == [field]


def test_all_problems_are_reported_at_once() -> None:
    message = DELTA(
        type_url="x",
        resource_names_subscribe=["a" * 1025],
        resource_names_unsubscribe=["a"] * 1001,
        initial_resource_versions={str(number): "" for number in range(1001)},
    )
    with pytest.raises(ValidationFailed) as caught:
        MESSAGES.parse_delta_request(message.SerializeToString())
    assert len(caught.value.violations) == 4


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(serialized: bytes) -> None:
    for read in (MESSAGES.parse_sotw_request, MESSAGES.parse_delta_request):
        try:
            read(serialized)
        except ValidationFailed as refusal:
            assert refusal.violations  # noqa: PT017 - both ends are right


def test_responses_have_secrets() -> None:
    resource = Resource.of("keys", MESSAGES.key_set_secret("keys", b'{"keys": []}'))
    world = PROTOS.message(f"{DISCOVERY}DiscoveryResponse").FromString(
        MESSAGES.serialize_sotw_response(SotwResponse((resource,), "v", "7"))
    )
    delta = PROTOS.message(f"{DISCOVERY}DeltaDiscoveryResponse").FromString(
        MESSAGES.serialize_delta_response(DeltaResponse((resource,), ("gone",), "7"))
    )
    assert (world.version_info, world.nonce, delta.nonce) == ("v", "7", "7")
    assert delta.removed_resources == ["gone"]
    assert (delta.resources[0].name, delta.resources[0].version) == ("keys", resource.version)
    for packed in (world.resources[0], delta.resources[0].resource):
        assert packed.type_url == TYPE_URL
        secret = PROTOS.message(SECRET).FromString(packed.value)
        assert (secret.name, secret.generic_secret.secret.inline_string) == ("keys", '{"keys": []}')
