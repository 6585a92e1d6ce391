"""The running agent: a thread for each token, with health, metrics and logs."""

import errno
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tokend_client.agent.configuration import AgentSettings, Health, TokenSettings
from tokend_client.agent.connection import Connection
from tokend_client.agent.health import HealthServer
from tokend_client.agent.keeper import Keeper, Status
from tokend_client.agent.measures import Measures
from tokend_client.agent.requests import request_for
from tokend_client.agent.token_file import TokenFile
from tokend_client.agent.worker import Worker
from tokend_client.clock import Clock, SystemClock
from tokend_client.model import TokenRequest
from tokend_client.policy import CachingPolicy
from tokend_client.shared import Shared
from tokend_client.source_state import SourceState
from tokend_client.telemetry import Telemetry

#: Seconds for threads to end; a thread that hangs in the kernel ends with the process.
_JOIN_TIMEOUT = 5.0


class _SilentTelemetry(Telemetry):
    """Counts as clients do, but does not log: keepers log, since they know the names of tokens."""

    def log_failure(self, *_: object, **__: object) -> None:
        pass

    def log_recovery(self, _request: TokenRequest) -> None:
        pass


@dataclass(frozen=True)
class Change:
    """The names of tokens that a new configuration has changed."""

    added: Sequence[str]
    changed: Sequence[str]
    dropped: Sequence[str]


class Agent:
    """Keeps all files of a configuration fresh. Use it as a context manager.

    Args:
        settings: The configuration.
        clock: The clocks.
        serves_health: Whether to serve health.

    Raises:
        ConnectionProblem: The settings of the connection to tokend are invalid.
        OSError: The health address cannot be used.
    """

    def __init__(self, settings: AgentSettings, *, clock: Clock | None = None, serves_health: bool = True) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._serves_health = serves_health
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._connection = Connection(settings.tokend)
        self._measures = Measures(each.name for each in settings.tokens)
        self._shared = Shared(_SilentTelemetry())
        self._workers: Sequence[Worker] = [self._make_worker(each) for each in settings.tokens]
        try:
            self._health = self._make_health(settings.health)
        except BaseException:
            self._connection.close()
            raise

    @property
    def health_address(self) -> str | None:
        """The address of health."""
        return self._health.address if self._health else None

    def __enter__(self) -> Self:
        if self._health is not None:
            self._health.start()
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._connection.close()
        _stop_workers(self._workers)
        if self._health is not None:
            self._health.close()

    def reconfigure(self, settings: AgentSettings) -> Change:
        """Applies a new configuration to the running agent. Tokens with unchanged settings are not affected.

        Raises:
            ConnectionProblem: The settings of the connection to tokend are invalid. The agent keeps its configuration.
            OSError: The health address cannot be used. The agent keeps its configuration.
        """
        with ExitStack() as undo:
            health = self._health
            if settings.health.listen != self._settings.health.listen:
                health = self._bind_new_health(settings.health, undo)
            if settings.tokend != self._settings.tokend:
                self._connection.apply(settings.tokend)
            undo.pop_all()
        self._settings = settings
        self._replace_health(health)
        return self._replace_workers(settings.tokens)

    def statuses(self) -> Sequence[Status]:
        """Returns the current status of each token."""
        return [worker.status() for worker in self._workers]

    def wait_for(self, condition: Callable[[Sequence[Status]], bool], timeout: float | None = None) -> bool:
        """Waits until all tokens are valid, and returns whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stop.is_set() or condition(self.statuses()), timeout)

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Wakes waiting callers and ends threads. Not for signal handlers: it takes a lock."""
        self._stop.set()
        self._wake()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _make_health(self, settings: Health) -> HealthServer | None:
        if not (self._serves_health and settings.listen):
            return None
        return HealthServer(settings, self.statuses, self._metrics_page)

    def _bind_new_health(self, settings: Health, undo: ExitStack) -> HealthServer | None:
        try:
            health = self._make_health(settings)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or self._health is None or not _have_same_port(self._health, settings):
                raise
            # The agent itself uses the port: 0.0.0.0 and 127.0.0.1 cannot be bound with one port.
            former, self._health = self._health, None
            former.close()
            undo.callback(self._restore_health, former.address)
            health = self._make_health(settings)
        if health is not None:
            undo.callback(health.close)
        return health

    def _restore_health(self, address: str) -> None:
        self._health = self._make_health(Health(listen=address, other_machines=True))
        if self._health is not None:
            self._health.start()

    def _replace_health(self, health: HealthServer | None) -> None:
        if health is self._health:
            return
        former, self._health = self._health, health
        if health is not None:
            health.start()
        if former is not None:
            former.close()

    def _replace_workers(self, tokens: Sequence[TokenSettings]) -> Change:
        before = {worker.settings.name: worker for worker in self._workers}
        kept = {each.name for each in tokens if each.name in before and before[each.name].settings == each}
        self._measures.set_names(each.name for each in tokens)
        # A new token may have the same file as a removed one.
        _stop_workers([worker for name, worker in before.items() if name not in kept])
        self._workers = [before[each.name] if each.name in kept else self._make_worker(each) for each in tokens]
        for worker in self._workers:
            if worker.settings.name not in kept:
                worker.start()
        self._wake()
        names = [each.name for each in tokens]
        return Change(
            [name for name in names if name not in before],
            [name for name in names if name in before and name not in kept],
            [name for name in before if name not in names],
        )

    def _make_worker(self, settings: TokenSettings) -> Worker:
        named = TokenRequest(identity_pool_id=settings.identity_pool_id, logins=settings.logins)
        keeper = Keeper(
            settings,
            TokenFile(settings, self._clock.now),
            lambda: self._connection.get_token(request_for(settings)),
            SourceState(named, CachingPolicy(clock=self._clock), self._shared),
            self._clock,
            self._measures,
        )
        return Worker(settings, keeper, self._wake)

    def _metrics_page(self) -> bytes:
        return self._measures.page([(each.name, each.is_valid, each.expire_time) for each in self.statuses()])


def _have_same_port(server: HealthServer, settings: Health) -> bool:
    return server.address.rpartition(":")[2] == settings.listen.rpartition(":")[2]


def _stop_workers(workers: Iterable[Worker]) -> None:
    """Ends the threads, within a time limit."""
    ending = list(workers)
    for worker in ending:
        worker.stop()
    deadline = time.monotonic() + _JOIN_TIMEOUT
    for worker in ending:
        worker.join(max(deadline - time.monotonic(), 0))
