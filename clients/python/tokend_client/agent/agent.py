"""The running agent: a thread for each token, and what tells of them."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Self

from tokend_client.agent.configuration import AgentSettings, TokenSettings
from tokend_client.agent.connection import Connection
from tokend_client.agent.health import HealthServer
from tokend_client.agent.keeper import Keeper, Status
from tokend_client.agent.measures import Measures
from tokend_client.agent.requests import request_for
from tokend_client.agent.token_file import TokenFile
from tokend_client.clock import Clock, SystemClock
from tokend_client.keeping import TokenKeeping
from tokend_client.model import TokenRequest
from tokend_client.policy import CachingPolicy
from tokend_client.shared import Shared
from tokend_client.telemetry import Telemetry

#: Seconds that threads have to end; one that hangs in the kernel is left to the end of the process.
_LAST_PATIENCE = 5.0

#: Seconds after which a token is tried again.
_AFTER_DEFECT = 1.0

_LOG = logging.getLogger("tokend_client.agent")


class _Silent(Telemetry):
    """Counts as clients do, and leaves it to keepers to log: they know the names of tokens."""

    def log_failure(self, *_: object, **__: object) -> None:
        pass

    def log_recovery(self, _request: TokenRequest) -> None:
        pass


class Agent:
    """Keeps all files of a configuration while it is entered as a context manager.

    Args:
        settings: The configuration.
        clock: The time.
        serves_health: Whether the address of health is served.

    Raises:
        ConnectionProblem: There can be no connection to tokend.
        OSError: The address of health cannot be had.
    """

    def __init__(self, settings: AgentSettings, *, clock: Clock | None = None, serves_health: bool = True) -> None:
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._connection = Connection(settings.tokend)
        self._measures = Measures(each.name for each in settings.tokens)
        shared = Shared(_Silent())
        self._keepers = [self._keeper(each, shared, clock or SystemClock()) for each in settings.tokens]
        self._health: HealthServer | None = None
        try:
            if serves_health and settings.health.listen:
                self._health = HealthServer(settings.health, self.statuses, self._page)
        except BaseException:
            self._connection.close()
            raise
        self._threads = [
            threading.Thread(target=self._keep, args=(keeper,), name=f"token {keeper.name}", daemon=True)
            for keeper in self._keepers
        ]

    @property
    def health_address(self) -> str | None:
        """Where health is served."""
        return self._health.address if self._health else None

    def __enter__(self) -> Self:
        if self._health is not None:
            self._health.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._connection.close()
        deadline = time.monotonic() + _LAST_PATIENCE
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        if self._health is not None:
            self._health.close()

    def statuses(self) -> Sequence[Status]:
        """What there is to tell of each token now."""
        return [keeper.status() for keeper in self._keepers]

    def wait_for(self, condition: Callable[[Sequence[Status]], bool], timeout: float | None = None) -> bool:
        """Waits until the tokens are as they should be; whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stop.is_set() or condition(self.statuses()), timeout)

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Has those who wait go on, and threads end. Not for signal handlers: it takes a lock."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def _keeper(self, settings: TokenSettings, shared: Shared, clock: Clock) -> Keeper:
        named = TokenRequest(identity_pool_id=settings.identity_pool_id, logins=settings.logins)
        return Keeper(
            settings,
            TokenFile(settings, clock.now),
            lambda: self._connection.get_token(request_for(settings)),
            TokenKeeping(named, CachingPolicy(clock=clock), shared),
            clock,
            self._measures,
        )

    def _keep(self, keeper: Keeper) -> None:
        try:
            while not self._stop.is_set():
                pause = self._step(keeper)
                with self._changed:
                    self._changed.notify_all()
                self._stop.wait(pause)
        finally:
            keeper.close()

    def _step(self, keeper: Keeper) -> float:
        try:
            return keeper.step()
        except Exception as error:  # noqa: BLE001 - a defect costs this token a step, and others nothing
            # Without the text of the error, which may hold what it stumbled over.
            trace = "".join(traceback.format_tb(error.__traceback__))
            _LOG.error("%s: a step has failed: %s\n%s", keeper.name, type(error).__name__, trace)
            return _AFTER_DEFECT

    def _page(self) -> bytes:
        return self._measures.page([(each.name, each.is_valid, each.expire_time) for each in self.statuses()])
