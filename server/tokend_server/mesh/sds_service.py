"""Envoy's secret discovery service on grpcio's asyncio server: streams, and single requests."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc

from tokend_server.clock import Clock
from tokend_server.errors import ResourceNotFound
from tokend_server.mesh.admission import CallAdmission
from tokend_server.mesh.async_calls import WrapBehavior, only_message
from tokend_server.mesh.sds_messages import SERVICE, SdsMessages
from tokend_server.mesh.secret_stream import SecretStream, Variant
from tokend_server.mesh.secrets_watch import Secrets
from tokend_server.mesh.stream_calls import stream_context
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.mesh.xds import Missing, Receipt, StateOfTheWorld
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.interceptors.layers import Method

#: Seconds that a single request waits for secrets that are being issued.
_FETCH_TIMEOUT = 10.0

FETCH = Method(SERVICE, "FetchSecrets", "unary")


class SdsService:
    """The service, for the listeners of one event loop.

    Args:
        variants: The variants of the protocol.
        messages: Parses and serializes single requests and responses.
        secrets: The secrets.
        places: Limits the number of streams.
        wrap: Wraps all calls.
        on_receipt: Called with each request's receipt of the previous response.
        message_timeout: The timeout of a single request's message in seconds.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913 - all its parts
        self,
        variants: tuple[Variant, ...],
        messages: SdsMessages,
        *,
        secrets: Secrets,
        places: StreamPlaces,
        wrap: WrapBehavior,
        on_receipt: Callable[[Receipt], object],
        message_timeout: float,
        clock: Clock,
    ) -> None:
        self._variants = variants
        self._messages = messages
        self._secrets = secrets
        self._places = places
        self._wrap = wrap
        self._on_receipt = on_receipt
        self._message_timeout = message_timeout
        self._clock = clock
        self._streams: set[SecretStream] = set()
        self._is_ending = False

    @property
    def streams(self) -> int:
        """The number of streams."""
        return self._places.in_use

    @property
    def methods(self) -> tuple[Method, ...]:
        """The methods of the service."""
        return (*(Method(SERVICE, variant.method, "bidi_stream") for variant in self._variants), FETCH)

    def handlers(self, admission: CallAdmission) -> grpc.GenericRpcHandler:
        """Returns the handlers for one listener."""
        made: dict[str, Any] = {}
        for variant in self._variants:
            method = Method(SERVICE, variant.method, "bidi_stream")
            serve = self._wrap(method, partial(self._serve, admission, method, variant))
            made[variant.method] = grpc.stream_stream_rpc_method_handler(serve)
        made[FETCH.name] = grpc.stream_unary_rpc_method_handler(self._wrap(FETCH, partial(self._fetch, admission)))
        return grpc.method_handlers_generic_handler(SERVICE, made)

    def end_streams(self) -> None:
        """Ends all streams gracefully, and each new one from now on."""
        self._is_ending = True
        for stream in tuple(self._streams):
            stream.end()

    async def _serve(
        self,
        admission: CallAdmission,
        method: Method,
        variant: Variant,
        _requests: object,
        context: Any,  # noqa: ANN401 - grpcio's own class is private
    ) -> None:
        opened = stream_context(context)
        call = await admission.identify_caller(method, opened)
        with self._places.holding(call.source if call.caller == ANONYMOUS else call.caller):
            # Sent separately: while headers are sent with the first response, gRPC cannot end a stream but resets it.
            await context.send_initial_metadata(())
            stream = SecretStream(
                variant,
                context,
                call,
                self._secrets,
                lambda: admission.check_caller(method, opened),
                self._on_receipt,
                self._clock,
            )
            self._streams.add(stream)
            try:
                if not self._is_ending:
                    await stream.serve()
            finally:
                self._streams.discard(stream)

    async def _fetch(self, admission: CallAdmission, _requests: object, context: Any) -> bytes:  # noqa: ANN401 - as above
        call = await admission.identify_caller(FETCH, stream_context(context))
        request = self._messages.parse_sotw_request(await only_message(context, self._message_timeout))
        state = StateOfTheWorld(self._secrets.names)
        state.receive(request._replace(response_nonce=""))
        news = asyncio.Event()
        self._secrets.watch(call, state.names, news.set)
        try:
            async with asyncio.timeout(_FETCH_TIMEOUT):
                while not self._is_complete(call.caller, state.names):
                    await news.wait()
                    news.clear()
        except TimeoutError:
            pass
        finally:
            self._secrets.unwatch(call.caller, state.names, news.set)
        response = state.respond(partial(self._secrets.get, call.caller))
        if response is None:
            raise ResourceNotFound("There is no such secret.", resource_type="Secret")
        return self._messages.serialize_sotw_response(response)

    def _is_complete(self, caller: str, names: frozenset[str]) -> bool:
        """Returns whether all secrets are known.

        Raises:
            TokendError: A secret cannot be issued.
        """
        found = {name: self._secrets.get(caller, name) for name in names}
        for name, each in found.items():
            if isinstance(each, Missing) and (error := self._secrets.error(caller, name)):
                raise error
        return Missing.PENDING not in found.values()
