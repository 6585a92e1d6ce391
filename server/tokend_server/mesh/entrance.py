"""Where calls come in: their callers are named in fair turns, and what guards connections hears of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

from tokend_server.access.authentication.client_certificates import ClientCertificates
from tokend_server.access.build import AccessControl
from tokend_server.clock import Clock
from tokend_server.config import Listener
from tokend_server.mesh.stream_calls import Identify, Shown, identifying_streams
from tokend_server.mesh.stream_places import StreamPlaces
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.call import Call
from tokend_server.rpc.connection_guard import ConnectionGuard, is_guarded
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.policy import Rule

#: Has something done that blocks, beside the loop.
Run: TypeAlias = Callable[[Callable[[], Call]], Awaitable[Call]]


class Entrance:
    """The entrance of one listener.

    Args:
        listener: The listener.
        rules: What a caller needs for each method.
        access: What names callers.
        certificates: Reads those that clients show.
        guard: Watches connections.
        places: For calls whose callers are being named.
        run: Has something done beside the loop.
        most_metadata_bytes: Of a call.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a call passes
        self,
        listener: Listener,
        rules: Mapping[Method, Rule],
        access: AccessControl,
        certificates: ClientCertificates | None,
        guard: ConnectionGuard,
        places: StreamPlaces,
        run: Run,
        most_metadata_bytes: int,
        clock: Clock,
    ) -> None:
        self._identifies = bool(listener.identify_by)
        self._guard = guard if is_guarded(listener) else None
        self._places = places
        self._run = run
        self._rules = rules
        self._identify: Mapping[Method, tuple[Identify, Identify]] = {
            method: identifying_streams(
                method, rule, listener, access, certificates, self._learn, most_metadata_bytes, clock
            )
            for method, rule in rules.items()
        }

    def arrive(self, shown: Shown) -> str:
        """Takes note of a call before anything is done for it, and tells the line that it waits in."""
        if self._guard is None:
            return shown.source
        line_of = self._guard.line_of if self._identifies else self._guard.line_of_anonymous
        return line_of(shown.source, len(shown.metadata))

    async def named(self, method: Method, shown: Shown) -> Call:
        """Names the caller of a call that arrives.

        Raises:
            TokendError: It may not go on, or too many wait to be named.
        """
        identify, _ = self._identify[method]
        line = self.arrive(shown)
        if self._rules[method] is Rule.NOTHING:
            return identify(shown)  # nothing of it blocks, and it has to be answered when nothing else is
        with self._places.taken_by(line):
            try:
                return await self._run(partial(identify, shown))
            except asyncio.CancelledError:
                if self._guard:
                    self._guard.abandoned(shown.source, line)
                raise

    async def check(self, method: Method, shown: Shown) -> Call:
        """Makes sure that the caller is still who it was; raises `TokendError` if not."""
        _, identify = self._identify[method]
        return await self._run(partial(identify, shown))

    def _learn(self, call: Call) -> None:
        if self._guard and (call.caller != ANONYMOUS or not self._identifies):
            self._guard.learn(call.source, call.caller)
