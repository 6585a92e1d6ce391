"""The tokens for streams: one for each caller and name, renewed in time while a stream subscribes to it."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeAlias

from tokend_server.clock import Clock
from tokend_server.mesh.renewal import ElapsedTime, is_refusal, renewal_delay, retry_delay
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.mesh.xds import Missing, Resource
from tokend_server.model import IssuedToken
from tokend_server.rpc.call import Call

#: Notifies a stream of a change; returns at once.
Wake: TypeAlias = Callable[[], None]

#: Issues the token with a name to the caller of a call; it blocks, and fails as the operation.
IssueTo: TypeAlias = Callable[[Call, str, WantedToken], IssuedToken]

#: Runs blocking work.
Run: TypeAlias = Callable[[Callable[[], IssuedToken]], Awaitable[IssuedToken]]

_Key: TypeAlias = tuple[str, str]

#: Seconds over which tokens are replaced after the removal of their key.
_REPLACEMENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """A secret that is a token.

    Attributes:
        wanted_by: Returns the token that a caller gets.
        contents: Returns the serialized message with a token.
    """

    wanted_by: Callable[[str], WantedToken]
    contents: Callable[[IssuedToken], bytes]


@dataclass(slots=True)
class _Pushed:
    """A token, or the error for which there is none."""

    call: Call
    watchers: set[Wake] = field(default_factory=set)
    resource: Resource | Missing = Missing.PENDING
    issued: IssuedToken | None = None
    error: Exception | None = None
    failures: int = 0
    due: float | None = None


class PushedTokens:
    """Tokens by caller and name.

    Streams of a caller share tokens. A token to which no stream subscribes any more is kept until its renewal is due,
    so that a stream that reconnects gets it at once. All methods except `late` are called in one event loop.

    Args:
        secrets: The secrets by name.
        issue: Issues a token.
        run: Runs this outside the loop.
        is_published: Returns whether the key of a pool that signed a token is still published.
        max_tokens: The maximum number of tokens without subscribers that are kept for streams that may reconnect.
        clock: The time.
        random: Returns a number from 0 to 1.
        on_renewal: Called for each attempt to issue a token, with its success.
    """

    def __init__(  # noqa: PLR0913 - all its parts
        self,
        secrets: Mapping[str, TokenSecret],
        *,
        issue: IssueTo,
        run: Run,
        is_published: Callable[[str, str | None], bool],
        max_tokens: int,
        clock: Clock,
        random: Callable[[], float],
        on_renewal: Callable[[bool], object],
    ) -> None:
        self.secrets = secrets
        self._issue = issue
        self._run = run
        self._is_published = is_published
        self._max_tokens = max_tokens
        self._clock = clock
        self._elapsed = ElapsedTime(clock)
        self._random = random
        self._on_renewal = on_renewal
        self._pushed: dict[_Key, _Pushed] = {}
        self._schedule: list[tuple[float, int, _Key]] = []
        self._numbers = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: set[_Key] = set()
        self.late = 0

    def __len__(self) -> int:
        return len(self._pushed)

    def get(self, caller: str, name: str) -> Resource | Missing:
        """Returns the current resource for a caller that watches the name."""
        return self._pushed[caller, name].resource

    def error(self, caller: str, name: str) -> Exception | None:
        """Returns the error of the last attempt to issue a token; None if it succeeded or has not ended yet."""
        return self._pushed[caller, name].error

    def watch(self, call: Call, name: str, wake: Wake) -> None:
        """Issues and renews a token for a caller until `unwatch`, and calls `wake` when it changes."""
        key = (call.caller, name)
        pushed = self._pushed.get(key)
        if pushed is None:
            self._evict_unwatched()
            pushed = self._pushed[key] = _Pushed(call)
            self._start_renewal(key, pushed)
        pushed.call = call
        pushed.watchers.add(wake)

    def unwatch(self, caller: str, name: str, wake: Wake) -> None:
        """Ends a `watch`."""
        self._pushed[caller, name].watchers.discard(wake)

    def tick(self) -> None:
        """Renews due tokens, and forgets those without subscribers; to be called at intervals."""
        passed = self._elapsed.seconds()
        while self._schedule and self._schedule[0][0] <= passed:
            due, _, key = heapq.heappop(self._schedule)
            pushed = self._pushed.get(key)
            if pushed is None or pushed.due != due:  # it was postponed, or already renewed
                continue
            if pushed.watchers:
                self._start_renewal(key, pushed)
            else:
                self._forget(key)
        now = self._clock.now()
        self.late = sum(1 for key in self._failing if _is_late(self._pushed[key], now))

    def replace_unpublished(self) -> None:
        """Replaces, within seconds, the tokens whose keys are no longer published."""
        for key, pushed in self._pushed.items():
            issued, pool = pushed.issued, self._wanted(key).identity_pool_id
            if issued and pushed.due is not None and not self._is_published(pool, issued.key_id):
                self._schedule_renewal(key, pushed, self._random() * _REPLACEMENT_SECONDS)

    async def stop(self) -> None:
        """Cancels the renewals in progress."""
        under_way = tuple(self._tasks)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _wanted(self, key: _Key) -> WantedToken:
        caller, name = key
        return self.secrets[name].wanted_by(caller)

    def _start_renewal(self, key: _Key, pushed: _Pushed) -> None:
        pushed.due = None
        task = asyncio.get_running_loop().create_task(self._renew(key, pushed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renew(self, key: _Key, pushed: _Pushed) -> None:
        try:
            issued = await self._run(partial(self._issue, pushed.call, key[1], self._wanted(key)))
        except Exception as error:  # noqa: BLE001 - any failure is retried; `issue` has logged it
            self._fail(key, pushed, error)
        else:
            self._succeed(key, pushed, issued)
        for wake in tuple(pushed.watchers):
            wake()

    def _succeed(self, key: _Key, pushed: _Pushed, issued: IssuedToken) -> None:
        _, name = key
        pushed.resource = Resource.of(name, self.secrets[name].contents(issued))
        pushed.issued, pushed.error, pushed.failures = issued, None, 0
        self._failing.discard(key)
        self._on_renewal(True)  # noqa: FBT003 - whether it succeeded
        self._schedule_renewal(key, pushed, renewal_delay(issued.refresh_time - self._clock.now(), self._random()))

    def _fail(self, key: _Key, pushed: _Pushed, error: Exception) -> None:
        pushed.error = error
        pushed.failures += 1
        if is_refusal(error):
            pushed.resource, pushed.issued = Missing.ABSENT, None
        self._failing.add(key)
        self._on_renewal(False)  # noqa: FBT003 - as above
        self._schedule_renewal(key, pushed, retry_delay(pushed.failures, error, self._random()))

    def _schedule_renewal(self, key: _Key, pushed: _Pushed, seconds: float) -> None:
        pushed.due = due = self._elapsed.seconds() + seconds
        heapq.heappush(self._schedule, (due, next(self._numbers), key))

    def _evict_unwatched(self) -> None:
        if len(self._pushed) < self._max_tokens:
            return
        for key in [key for key, pushed in self._pushed.items() if not pushed.watchers and pushed.due is not None]:
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        del self._pushed[key]
        self._failing.discard(key)


def _is_late(pushed: _Pushed, now: float) -> bool:
    """Returns whether a renewal is overdue; a token that the caller is refused is not."""
    if not pushed.watchers or pushed.resource is Missing.ABSENT:
        return False
    return pushed.issued is None or pushed.issued.refresh_time <= now
