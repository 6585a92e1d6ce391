"""A stream of secrets: receives its client's requests, and sends changes, in one event loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import grpc

from tokend_server.clock import Clock
from tokend_server.errors import TokendError
from tokend_server.mesh.sds_messages import SdsMessages
from tokend_server.mesh.secrets_watch import Secrets
from tokend_server.mesh.xds import Delta, Missing, Receipt, Resource, StateOfTheWorld
from tokend_server.rpc.call import Call

_log = logging.getLogger(__name__)

#: Seconds after which a caller is identified again.
_IDENTIFICATION_INTERVAL = 10.0


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the two variants of the protocol.

    Attributes:
        method: The name of its method.
        state: Makes the state of a stream from the names that a wildcard means.
        read: Parses a request.
        write: Serializes a response.
    """

    method: str
    state: Callable[[AbstractSet[str]], StateOfTheWorld | Delta]
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


def variants(messages: SdsMessages) -> tuple[Variant, ...]:
    """Returns both variants."""
    return (
        Variant("StreamSecrets", StateOfTheWorld, messages.parse_sotw_request, messages.serialize_sotw_response),
        Variant("DeltaSecrets", Delta, messages.parse_delta_request, messages.serialize_delta_response),
    )


class SecretStream:
    """A stream of an identified caller.

    Args:
        variant: The variant of the protocol.
        context: The context of grpcio.
        call: The call that has opened it.
        secrets: The secrets.
        check: Checks that the caller is still the same; raises `TokendError` if not.
        on_receipt: Called with each request's receipt of the previous response.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        variant: Variant,
        context: Any,  # noqa: ANN401 - grpcio's own class is private
        call: Call,
        secrets: Secrets,
        check: Callable[[], Awaitable[Call]],
        on_receipt: Callable[[Receipt], object],
        clock: Clock,
    ) -> None:
        self._variant = variant
        self._state = variant.state(secrets.names)
        self._context = context
        self._call = call
        self._secrets = secrets
        self._check = check
        self._on_receipt = on_receipt
        self._clock = clock
        self._checked_at = clock.monotonic()
        self._watched: frozenset[str] = frozenset()
        self._sending: asyncio.Task[None] | None = None
        self._reading = asyncio.current_task()
        self._failure: TokendError | None = None

    async def serve(self) -> None:
        """Serves the stream until its client ends it, or `end` is called.

        Raises:
            TokendError: A request is invalid, or the caller is refused.
        """
        try:
            while (serialized := await self._context.read()) is not grpc.aio.EOF:
                self._receive(serialized)
        except asyncio.CancelledError:
            if self._context.cancelled():
                raise
            if self._failure:
                raise self._failure from None
        finally:
            self._watch(frozenset())
            if self._sending:
                self._sending.cancel()

    def end(self, failure: TokendError | None = None) -> None:
        """Ends the stream, gracefully unless there is a failure."""
        self._failure = failure
        if self._reading:
            self._reading.cancel()

    def wake(self) -> None:
        """Schedules the sending of changes."""
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send())

    def _receive(self, serialized: bytes) -> None:
        receipt = self._state.receive(self._variant.read(serialized))
        self._on_receipt(receipt)
        if receipt is Receipt.REJECTED:
            _log.warning("a client rejects secrets", extra={"caller": self._call.caller, "source": self._call.source})
        self._watch(self._state.names)
        self.wake()

    def _watch(self, names: frozenset[str]) -> None:
        added, dropped = names - self._watched, self._watched - names
        self._watched = names
        self._secrets.watch(self._call, added, self.wake)
        self._secrets.unwatch(self._call.caller, dropped, self.wake)

    def _get(self, name: str) -> Resource | Missing:
        return self._secrets.get(self._call.caller, name)

    async def _send(self) -> None:
        try:
            if self._clock.monotonic() - self._checked_at > _IDENTIFICATION_INTERVAL:
                await self._check()
                self._checked_at = self._clock.monotonic()
            while response := self._state.respond(self._get):
                await self._context.write(self._variant.write(response))
        except TokendError as error:
            self.end(error)
        except (asyncio.InvalidStateError, grpc.aio.BaseError):
            self.end()  # the client has disconnected
        finally:
            self._sending = None
