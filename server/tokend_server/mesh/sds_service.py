"""Envoy's secret discovery service on grpcio's asyncio server: streams, and single requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import grpc

from tokend_server.clock import Clock
from tokend_server.errors import ResourceNotFound, TokendError, TooManyRequests
from tokend_server.failures import log_defect, log_failure
from tokend_server.mesh.sds_messages import SERVICE, SdsMessages
from tokend_server.mesh.secret_stream import SecretStream, Variant
from tokend_server.mesh.secrets_watch import Secrets
from tokend_server.mesh.stream_calls import Identify, Shown
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.mesh.xds import Missing, Receipt, StateOfTheWorld
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.call import Call
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.interceptors.metrics import Recorder
from tokend_server.rpc.status import internal_status, to_status

#: Has something done that blocks, beside the loop.
RunIdentify: TypeAlias = Callable[[Callable[[], Call]], Awaitable[Call]]

_Handler: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

#: Callers that are being named, at once: beyond that, newcomers are refused.
_MOST_UNNAMED = 1000

#: Seconds that a single request waits for what is on its way.
_FETCH_PATIENCE = 10.0

FETCH = Method(SERVICE, "FetchSecrets", "unary")


class SdsService:
    """The service, for the listeners of one event loop.

    Args:
        variants: Of the protocol.
        messages: Reads and writes single requests.
        secrets: What there is.
        places: How many streams there may be.
        run: Has something done beside the loop.
        recorder: The series of a method.
        on_receipt: Called with what each request says of the response before it.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913 - what streams meet
        self,
        variants: tuple[Variant, ...],
        messages: SdsMessages,
        *,
        secrets: Secrets,
        places: StreamPlaces,
        run: RunIdentify,
        recorder: Callable[[Method], Recorder],
        on_receipt: Callable[[Receipt], object],
        clock: Clock,
    ) -> None:
        self._variants = variants
        self._messages = messages
        self._secrets = secrets
        self._places = places
        self._run = run
        self._recorder = recorder
        self._on_receipt = on_receipt
        self._clock = clock
        self._streams: set[SecretStream] = set()
        self._unnamed = 0
        self._is_ending = False

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return self._places.taken

    @property
    def methods(self) -> tuple[Method, ...]:
        """What it serves."""
        return (*(Method(SERVICE, variant.method, "bidi_stream") for variant in self._variants), FETCH)

    def handlers(self, identify: Callable[[Method], tuple[Identify, Identify]]) -> grpc.GenericRpcHandler:
        """The handlers for one listener; `identify` makes what names the callers of a method, first and later."""
        made: dict[str, Any] = {}
        for variant in self._variants:
            method = Method(SERVICE, variant.method, "bidi_stream")
            serve = partial(self._serve, variant, *identify(method))
            made[variant.method] = grpc.stream_stream_rpc_method_handler(self._guarded(method, serve))
        fetch = partial(self._fetch, identify(FETCH)[0])
        made[FETCH.name] = grpc.unary_unary_rpc_method_handler(self._guarded(FETCH, fetch))
        return grpc.method_handlers_generic_handler(SERVICE, made)

    def end_streams(self) -> None:
        """Ends all streams in good order, and each one that is opened from now on."""
        self._is_ending = True
        for stream in tuple(self._streams):
            stream.end()

    async def _serve(
        self,
        variant: Variant,
        identify: Identify,
        check: Identify,
        _requests: object,
        context: Any,  # noqa: ANN401
    ) -> None:
        shown = _shown(context)
        call = await self._named(identify, shown)
        party = call.source if call.caller == ANONYMOUS else call.caller
        self._places.take(party)
        stream = SecretStream(
            variant,
            context,
            call,
            self._secrets,
            lambda: self._run(partial(check, shown)),
            self._on_receipt,
            self._clock,
        )
        self._streams.add(stream)
        try:
            if not self._is_ending:
                await stream.serve()
        finally:
            self._streams.discard(stream)
            self._places.give_back(party)

    async def _fetch(self, identify: Identify, serialized: bytes, context: Any) -> bytes:  # noqa: ANN401 - as above
        call = await self._named(identify, _shown(context))
        request = self._messages.read_world_request(serialized)
        state = StateOfTheWorld(self._secrets.names)
        state.receive(request._replace(response_nonce=""))
        news = asyncio.Event()
        self._secrets.watch(call, state.names, news.set)
        try:
            async with asyncio.timeout(_FETCH_PATIENCE):
                while not self._is_complete(call.caller, state.names):
                    await news.wait()
                    news.clear()
        except TimeoutError:
            pass
        finally:
            self._secrets.unwatch(call.caller, state.names, news.set)
        response = state.respond(partial(self._secrets.look, call.caller))
        if response is None:
            raise ResourceNotFound("There is no such secret.", resource_type="Secret")
        return self._messages.write_world_response(response)

    def _is_complete(self, caller: str, names: frozenset[str]) -> bool:
        """Whether all is known.

        Raises:
            TokendError: What there should be cannot be had.
        """
        found = {name: self._secrets.look(caller, name) for name in names}
        for name, each in found.items():
            if isinstance(each, Missing) and (error := self._secrets.error(caller, name)):
                raise error
        return Missing.PENDING not in found.values()

    async def _named(self, identify: Identify, shown: Shown) -> Call:
        if self._unnamed >= _MOST_UNNAMED:
            raise TooManyRequests("Too many streams at once.", retry_after=1.0)
        self._unnamed += 1
        try:
            return await self._run(partial(identify, shown))
        finally:
            self._unnamed -= 1

    def _guarded(self, method: Method, serve: _Handler) -> _Handler:
        """Counts calls, and gives what goes wrong the statuses of the contract."""
        recorder = self._recorder(method)

        async def guarded(request: Any, context: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            recorder.count_started(1)
            began = self._clock.monotonic()
            code = grpc.StatusCode.CANCELLED
            try:
                response = await serve(request, context)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets no more than its status
                status = _status(method, error)
                code = status.code
                await context.abort(status.code, status.details, status.trailing_metadata)
            else:
                code = grpc.StatusCode.CANCELLED if context.cancelled() else grpc.StatusCode.OK
                return response
            finally:
                recorder.finish(code, self._clock.monotonic() - began)

        return guarded


def _status(method: Method, error: Exception) -> Any:  # noqa: ANN401 - grpc.Status has no fields in the stubs
    if isinstance(error, TokendError):
        log_failure(method.name, error)
        return to_status(error)
    log_defect(method.name, error, "")
    return internal_status("")


def _shown(context: Any) -> Shown:  # noqa: ANN401 - grpcio's own class is private
    metadata = tuple((key, value) for key, value in context.invocation_metadata())
    properties: Mapping[str, Any] = context.auth_context()
    return Shown(context.peer(), metadata, properties)
