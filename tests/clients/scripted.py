"""A server whose responses break the contract, or reach its limits, as selected by the request's pool.

No real server sends these responses, but clients must handle them.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import grpc
from google.protobuf.any_pb2 import Any as PackedDetail
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from tokend.v1 import developer_identity_service_pb2 as pb

_SERVICE = "tokend.v1.DeveloperIdentityService"
_METHOD = "GetOpenIdTokenForDeveloperIdentity"

_Request = pb.GetOpenIdTokenForDeveloperIdentityRequest
_Response = pb.GetOpenIdTokenForDeveloperIdentityResponse

_LIFE = 900
_UNTIL_REFRESH = 300
_DAY = 86_400

#: Errors with their retry delays.
DELAYS: Mapping[str, Duration] = {
    "delay_of_zero": Duration(),
    "delay_of_a_day": Duration(seconds=_DAY),
    "delay_absurd": Duration(seconds=2**62),
    "delay_negative": Duration(seconds=-30),
    "delay_of_odd_nanoseconds": Duration(seconds=1, nanos=2_000_000_000),
}

#: Responses, created at a time in whole seconds.
ANSWERS: Mapping[str, Callable[[int], Mapping[str, Timestamp]]] = {
    "answers": lambda now: _times(now, now + _UNTIL_REFRESH, now + _LIFE),
    "without_issue_time": lambda now: _times(None, now + _UNTIL_REFRESH, now + _LIFE),
    "without_expire_time": lambda now: _times(now, now + _UNTIL_REFRESH, None),
    "expire_time_absurd": lambda now: _times(now, now + _UNTIL_REFRESH, 2**62),
    "expire_time_before_issue_time": lambda now: _times(now, now - 20, now - 10),
    "refresh_time_before_issue_time": lambda now: _times(now, now - 10, now + _LIFE),
}

POOL_IDS: Mapping[str, str] = {
    name: f"us-east-1:0a1b2c3d-0000-4000-8000-5c{number:010x}" for number, name in enumerate((*DELAYS, *ANSWERS))
}

_NAMES = {pool_id: name for name, pool_id in POOL_IDS.items()}


class ScriptedServer:
    """Issues tokens while the context manager is active; other operations are not implemented.

    Attributes:
        endpoint: Its HOST:PORT, without TLS.
    """

    def __init__(self) -> None:
        self._answers = 0
        self._server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(self._answer, _Request.FromString, _Response.SerializeToString)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: handler}),))
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()

    def _answer(self, request: _Request, context: grpc.ServicerContext) -> _Response:
        name = _NAMES[request.identity_pool_id]
        if name in DELAYS:
            context.abort_with_status(rpc_status.to_status(_refusal(DELAYS[name])))
        self._answers += 1
        times = ANSWERS[name](int(time.time()))
        return _Response(identity_id=request.identity_pool_id, token=f"token-{self._answers}", **times)


def _times(issue: int | None, refresh: int, expire: int | None) -> Mapping[str, Timestamp]:
    given = {"issue_time": issue, "refresh_time": refresh, "expire_time": expire}
    return {name: Timestamp(seconds=seconds) for name, seconds in given.items() if seconds is not None}


def _refusal(delay: Duration) -> Status:
    details = [ErrorInfo(reason="TOO_MANY_REQUESTS", domain="tokend"), RetryInfo(retry_delay=delay)]
    status = Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="Too many calls.")
    for detail in details:
        packed = PackedDetail()
        packed.Pack(detail)
        status.details.append(packed)
    return status
