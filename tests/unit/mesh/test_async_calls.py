import asyncio
import logging
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import RequestInfo
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock

from tokend_server.mesh.async_calls import around_calls
from tokend_server.metrics import Metrics
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.interceptors.metrics import Recorder
from tokend_server.rpc.status import DETAILS_TRAILER


class Context:
    """Takes how a call ends.

    Attributes:
        ended: The code and the trailers.
    """

    async def abort(self, code: grpc.StatusCode, _text: str, trailers: tuple[tuple[str, bytes], ...]) -> None:
        self.ended = code, dict(trailers)


def test_the_id_of_a_defect_leads_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(_request: object, _context: object) -> None:
        raise KeyError("alice")

    metrics, context = Metrics(CollectorRegistry()), Context()
    around = around_calls(lambda method: Recorder(method, metrics), FakeClock(), lambda: "id 7")
    with caplog.at_level(logging.ERROR):
        asyncio.run(cast("Any", around(Method("sds", "FetchSecrets", "unary"), serve)(None, context)))
    code, trailers = context.ended
    info = RequestInfo()
    assert Status.FromString(trailers[DETAILS_TRAILER]).details[1].Unpack(info)
    (record,) = caplog.records
    assert (code, info.request_id, vars(record)["request_id"]) == (grpc.StatusCode.INTERNAL, "id 7", "id 7")
