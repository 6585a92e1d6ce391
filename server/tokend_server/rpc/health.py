"""grpc.health.v1: whether calls are welcome."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

_Send = Callable[[health_pb2.HealthCheckResponse | None], None]


class HealthService(health.HealthServicer):
    """The library's service, with watches that can be ended and that hear of changes alone.

    Args:
        services: The names that it answers for, beside the server as a whole.
    """

    def __init__(self, *services: str) -> None:
        # Watches wait for nothing, so one thread begins them all.
        super().__init__(experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(1, "health"))
        self._services = ("", *services)
        self._serving: bool | None = None
        self._watches: set[_Send] = set()
        self.tell(serving=False)

    def tell(self, *, serving: bool) -> None:
        """Says whether calls are welcome, to watches too if that is news."""
        if serving == self._serving:
            return
        self._serving = serving
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            self.set(service, status)

    def Watch(  # noqa: N802 - the contract's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Any = None,  # noqa: ANN401 - as grpc calls it
    ) -> Any:  # noqa: ANN401 - as the library declares it
        self._watches.add(send_response_callback)
        context.add_callback(lambda: self._watches.discard(send_response_callback))
        return super().Watch(request, context, send_response_callback)

    def List(  # noqa: N802 - the contract's name
        self,
        _request: Any,  # noqa: ANN401 - the stubs lack it
        context: grpc.ServicerContext,
    ) -> Any:  # noqa: ANN401 - as above
        """Answers for all names at once; the library declares the method without it."""
        statuses = {name: self.Check(health_pb2.HealthCheckRequest(service=name), context) for name in self._services}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined] # as above

    def end_watches(self) -> None:
        """Ends all watches, which would otherwise count as calls in flight for as long as somebody watches."""
        for send in tuple(self._watches):
            send(None)
