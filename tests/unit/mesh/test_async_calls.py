import asyncio
import logging
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import RequestInfo
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock

from tokend_server.errors import ValidationFailed
from tokend_server.mesh.async_calls import wrapping_calls
from tokend_server.metrics import Metrics
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.interceptors.metrics import Recorder
from tokend_server.rpc.status import DETAILS_TRAILER


class Context:
    """Records how a call ends.

    Attributes:
        ended: The code and the trailers.
    """

    async def abort(self, code: grpc.StatusCode, _text: str, trailers: tuple[tuple[str, bytes], ...]) -> None:
        self.ended = code, dict(trailers)


def test_an_internal_error_has_the_request_id_of_its_log_record(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(_request: object, _context: object) -> None:
        raise KeyError("alice")

    metrics, context = Metrics(CollectorRegistry()), Context()
    around = wrapping_calls(lambda method: Recorder(method, metrics), FakeClock(), lambda: "id 7")
    with caplog.at_level(logging.ERROR):
        asyncio.run(cast("Any", around(Method("sds", "FetchSecrets", "unary"), serve)(None, context)))
    code, trailers = context.ended
    info = RequestInfo()
    assert Status.FromString(trailers[DETAILS_TRAILER]).details[1].Unpack(info)
    (record,) = caplog.records
    assert (code, info.request_id, vars(record)["request_id"]) == (grpc.StatusCode.INTERNAL, "id 7", "id 7")


def test_a_failed_call_is_counted_before_the_caller_gets_the_status() -> None:
    metrics = Metrics(CollectorRegistry())
    counted: list[float | None] = []

    class Aborted(Context):
        async def abort(self, code: grpc.StatusCode, *_: object) -> None:
            labels = {
                "grpc_type": "unary",
                "grpc_service": "sds",
                "grpc_method": "FetchSecrets",
                "grpc_code": "InvalidArgument",
            }
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            counted.append(metrics.registry.get_sample_value("grpc_server_handled_total", labels))
            raise grpc.aio.AbortError

    async def serve(_request: object, _context: object) -> None:
        raise ValidationFailed([])

    around = wrapping_calls(lambda method: Recorder(method, metrics), FakeClock(), str)
    with pytest.raises(grpc.aio.AbortError):
        asyncio.run(cast("Any", around(Method("sds", "FetchSecrets", "unary"), serve)(None, Aborted())))
    assert counted == [1]
