"""The limit of a call's metadata, which also applies to clients that never acknowledge the server's SETTINGS."""

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from tests.support import raw_http2
from tests.support.grpc_service import METHODS, VALID, GrpcService, failure, grpc_service

from tokend_server.rpc.server import SERVICE_NAME

LIMIT = 1024

#: The size of a field with the name `x-pad` without its value (RFC 9113, section 6.5.2).
OVERHEAD = len("x-pad") + 32


def unacknowledged(service: GrpcService, method: str, *metadata: tuple[str, str]) -> raw_http2.Ending:
    path, message = f"/{SERVICE_NAME}/{method}", VALID[method].SerializeToString()
    return raw_http2.call(service.address, path, message, metadata)


def test_metadata_at_the_limit_is_accepted() -> None:
    with grpc_service(max_metadata_bytes=LIMIT) as service:
        ending = unacknowledged(service, METHODS[0], ("x-pad", "v" * (LIMIT - OVERHEAD)))
        assert ending.fields[b"grpc-status"] == b"0"
        assert len(service.engine.asked) == 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([("x-pad", "v" * (LIMIT - OVERHEAD + 1))], id="one byte more"),
        pytest.param([(f"x-{number:03}", "") for number in range(LIMIT // OVERHEAD + 1)], id="many empty fields"),
        pytest.param([("x-pad", "v")] * (LIMIT // OVERHEAD), id="one field again and again"),
    ],
)
def test_more_metadata_is_refused_before_any_work(method: str, metadata: list[tuple[str, str]]) -> None:
    with grpc_service(max_metadata_bytes=LIMIT) as service:
        ending = unacknowledged(service, method, *metadata)
        text = "The metadata of a call may have at most 1024 bytes."
        assert ending.fields[b"grpc-status"] == b"8"
        assert ending.fields[b"grpc-message"] == text.encode()
        status = Status.FromString(ending.fields[b"grpc-status-details-bin"].removeprefix(b"\x00"))
        info = ErrorInfo()
        assert status.details[0].Unpack(info)
        assert info == ErrorInfo(reason="METADATA_TOO_LARGE", domain="tokend")
        assert service.engine.asked == []


def test_a_megabyte_of_metadata_is_refused_before_any_work() -> None:
    # gRPC itself randomly rejects some such calls, with the same code.
    with grpc_service(max_metadata_bytes=LIMIT) as service:
        ending = unacknowledged(service, METHODS[0], ("x-pad", "v" * 1_000_000))
        assert ending.fields[b"grpc-status"] == b"8"
        assert service.engine.asked == []


@pytest.mark.parametrize("length", [8192, 12_000, 16_384, 100_000])
def test_an_ordinary_client_with_too_much_metadata_is_refused(length: int, service: GrpcService) -> None:
    # gRPC's own limit may apply first, on either side.
    seen = failure(lambda: service.call(METHODS[0], metadata=[("x-pad", "v" * length)]))
    assert seen.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service.engine.asked == []


def test_the_default_leaves_room_for_a_mesh(service: GrpcService) -> None:
    service.call(METHODS[0], metadata=[("x-forwarded-client-cert", "c" * 4096), ("baggage", "b" * 3072)])
    assert len(service.engine.asked) == 1


def test_health_checks_have_the_same_limit() -> None:
    with grpc_service(max_metadata_bytes=LIMIT) as service:
        padding = ("x-pad", "v" * 100_000)
        ending = raw_http2.call(service.address, "/grpc.health.v1.Health/Check", b"", [padding])
        assert ending.fields[b"grpc-status"] == b"8"
