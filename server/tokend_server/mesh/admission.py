"""Admits calls: identifies callers in fair turns, and informs the connection guard."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

from tokend_server.access.authentication.client_certificates import ClientCertificates
from tokend_server.access.build import AccessControl
from tokend_server.clock import Clock
from tokend_server.config import Listener
from tokend_server.mesh.stream_calls import Identify, StreamContext, identifying_streams
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.call import Call
from tokend_server.rpc.connection_guard import ConnectionGuard, is_guarded
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.policy import Rule

#: Runs blocking work in a thread outside the event loop.
Run: TypeAlias = Callable[[Callable[[], Call]], Awaitable[Call]]


class CallAdmission:
    """Admits the calls of one listener.

    Args:
        listener: The listener.
        rules: What a caller needs for each method.
        access: Identifies callers.
        certificates: Reads clients' certificates.
        guard: Guards connections.
        places: Limits the calls whose callers are being identified.
        run: Runs blocking work outside the loop.
        max_metadata_bytes: The maximum size of a call's metadata in bytes.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        listener: Listener,
        rules: Mapping[Method, Rule],
        access: AccessControl,
        certificates: ClientCertificates | None,
        guard: ConnectionGuard,
        places: StreamPlaces,
        run: Run,
        max_metadata_bytes: int,
        clock: Clock,
    ) -> None:
        self._identifies = bool(listener.identify_by)
        self._guard = guard if is_guarded(listener) else None
        self._places = places
        self._run = run
        self._rules = rules
        self._identify: Mapping[Method, tuple[Identify, Identify]] = {
            method: identifying_streams(
                method, rule, listener, access, certificates, self._learn, max_metadata_bytes, clock
            )
            for method, rule in rules.items()
        }

    def record_arrival(self, context: StreamContext) -> str:
        """Records a call before any work on it, and returns its line."""
        if self._guard is None:
            return context.source
        line_of = self._guard.line_of if self._identifies else self._guard.line_of_anonymous
        return line_of(context.source, len(context.metadata))

    async def identify_caller(self, method: Method, context: StreamContext) -> Call:
        """Identifies the caller of a new call.

        Raises:
            TokendError: The call is refused, or too many calls wait to be identified.
        """
        identify, _ = self._identify[method]
        line = self.record_arrival(context)
        if self._rules[method] is Rule.NOTHING:
            return identify(context)  # it does not block, and must be answered even under overload
        with self._places.holding(line):
            try:
                return await self._run(partial(identify, context))
            except asyncio.CancelledError:
                if self._guard:
                    self._guard.record_abandoned(context.source, line)
                raise

    async def check_caller(self, method: Method, context: StreamContext) -> Call:
        """Checks that the caller is still the same; raises `TokendError` if not."""
        _, identify = self._identify[method]
        return await self._run(partial(identify, context))

    def _learn(self, call: Call) -> None:
        if self._guard and (call.caller != ANONYMOUS or not self._identifies):
            self._guard.learn(call.source, call.caller)
