"""The health service, grpc.health.v1, on the SDS listeners, in one event loop."""

import asyncio
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from tokend_server.mesh.admission import CallAdmission
from tokend_server.mesh.async_calls import WrapBehavior, only_message
from tokend_server.mesh.sds_messages import SERVICE
from tokend_server.mesh.stream_calls import stream_context
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.interceptors.layers import Method, deserialized

CHECK = Method(health.SERVICE_NAME, "Check", "unary")
LIST = Method(health.SERVICE_NAME, "List", "unary")
WATCH = Method(health.SERVICE_NAME, "Watch", "server_stream")

_NAMES = ("", SERVICE)
_STATUS = health_pb2.HealthCheckResponse


class SdsHealth:
    """Reports the status of the listeners as a whole and of their service; only used within the loop.

    Args:
        places: Limits the number of watches.
        wrap: Wraps all calls.
        message_timeout: The timeout of a call's message in seconds.
    """

    methods = (CHECK, LIST, WATCH)

    def __init__(self, places: StreamPlaces, wrap: WrapBehavior, message_timeout: float) -> None:
        self._places = places
        self._wrap = wrap
        self._message_timeout = message_timeout
        self._status: Any = _STATUS.NOT_SERVING
        self._is_final = False
        self._ends = False
        self._news: set[asyncio.Event] = set()

    def handlers(self, admission: CallAdmission) -> grpc.GenericRpcHandler:
        """Returns the handlers for one listener."""
        check, list_all, watch = (
            self._wrap(method, partial(behavior, admission))
            for method, behavior in ((CHECK, self._check), (LIST, self._list), (WATCH, self._watch))
        )
        made: dict[str, Any] = {
            CHECK.name: grpc.stream_unary_rpc_method_handler(check, None, _serialize),
            LIST.name: grpc.stream_unary_rpc_method_handler(list_all, None, _serialize),
            WATCH.name: grpc.stream_stream_rpc_method_handler(watch, None, _serialize),
        }
        return grpc.method_handlers_generic_handler(health.SERVICE_NAME, made)

    def set_serving(self, *, serving: bool) -> None:
        """Sets the status, and sends it to watches if it has changed."""
        if not self._is_final:
            self._set_status(_STATUS.SERVING if serving else _STATUS.NOT_SERVING)

    def enter_graceful_shutdown(self) -> None:
        """Sets the status to NOT_SERVING permanently."""
        self._is_final = True
        self._set_status(_STATUS.NOT_SERVING)

    def end_watches(self) -> None:
        """Ends all watches after they have sent the last change."""
        self._ends = True
        self._wake()

    def _set_status(self, status: Any) -> None:  # noqa: ANN401 - a value of ServingStatus
        self._status = status
        self._wake()

    def _wake(self) -> None:
        for news in self._news:
            news.set()

    async def _check(self, admission: CallAdmission, _requests: object, context: Any) -> Any:  # noqa: ANN401 - of grpcio's
        await admission.identify_caller(CHECK, stream_context(context))
        if await self._requested_service(context) in _NAMES:
            return _STATUS(status=self._status)
        context.set_code(grpc.StatusCode.NOT_FOUND)
        return _STATUS()

    async def _list(self, admission: CallAdmission, _requests: object, context: Any) -> Any:  # noqa: ANN401 - as above
        await admission.identify_caller(LIST, stream_context(context))
        await only_message(context, self._message_timeout)
        status = _STATUS(status=self._status)
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(_NAMES, status))  # type: ignore[attr-defined] # the stubs lack it

    async def _watch(self, admission: CallAdmission, _requests: object, context: Any) -> None:  # noqa: ANN401 - as above
        call = await admission.identify_caller(WATCH, stream_context(context))
        is_known = await self._requested_service(context) in _NAMES
        news = asyncio.Event()
        with self._places.holding(call.source if call.caller == ANONYMOUS else call.caller):
            self._news.add(news)
            try:
                await self._send_each(news, is_known, context)
            finally:
                self._news.discard(news)

    async def _requested_service(self, context: Any) -> str:  # noqa: ANN401 - as above
        serialized = await only_message(context, self._message_timeout)
        request: health_pb2.HealthCheckRequest = deserialized(serialized, health_pb2.HealthCheckRequest.FromString)
        return request.service

    async def _send_each(self, news: asyncio.Event, is_known: bool, context: Any) -> None:  # noqa: ANN401, FBT001
        sent = None
        while True:
            news.clear()
            status = self._status if is_known else _STATUS.SERVICE_UNKNOWN
            if status != sent:
                await context.write(_STATUS(status=status))
                sent = status
            elif self._ends:
                return
            else:
                await news.wait()


def _serialize(message: Any) -> bytes:  # noqa: ANN401 - any message
    written: bytes = message.SerializeToString()
    return written
