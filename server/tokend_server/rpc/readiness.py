"""Readiness: whether the service can serve a call now.

A failure of this process alone makes it not ready, so that other servers take its calls. A failure that lasts until an
operator acts, such as credentials that AWS rejects, affects all servers: it makes them not ready only if no pool works.
Resources that pools share are checked once, however many pools there are.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import NamedTuple

from tokend_server.engine import Backend
from tokend_server.errors import LastingError, TokendError
from tokend_server.process.repeating import Repeating

_log = logging.getLogger(__name__)


class ProbeResult(NamedTuple):
    """The result of a check.

    Attributes:
        ready: Whether the service can serve calls.
        problems: The problems that keep calls from being served, one line for each backend or for each of a few pools.
    """

    ready: bool
    problems: list[str]


class Reachability(NamedTuple):
    """Whether callers can reach a listener.

    Attributes:
        listen: Its address.
        answered: Seconds since the threads of calls last answered a probe.
        reached: Seconds since both a probe and a connection to the address last succeeded; infinite if none has.
        section: The section of the configuration that defines the listener.
    """

    listen: str
    answered: float
    reached: float
    section: str = "grpc"


class ProbeTimeouts(NamedTuple):
    """Seconds without a successful probe after which the service is not ready, and after which it is not alive."""

    ready: float = 10.0
    live: float = 60.0


class Readiness:
    """Checks every backend and listener, on demand and at regular intervals, and reports each result.

    HTTP probes and gRPC health use its results.

    Args:
        backends: The backends of the engines, by name.
        on_check: Called after each check with whether the service is ready.
        reaches: Returns whether callers can reach each listener.
        timeouts: How long probes of a listener may fail.
        interval: Seconds between two checks.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        on_check: Callable[[bool], None],
        reachability: Callable[[], Sequence[Reachability]] = tuple,
        *,
        timeouts: ProbeTimeouts = ProbeTimeouts(),  # noqa: B008 - it is a constant
        interval: float = 5.0,
    ) -> None:
        self._backends = backends
        self._on_check = on_check
        self._reachability = reachability
        self._timeouts = timeouts
        self._checking = threading.Lock()
        self._checks = Repeating(self._check_and_log, interval, "readiness")

    def check(self) -> ProbeResult:
        """Checks now.

        Returns:
            Whether the service is ready, and the problems that keep some or all calls from being served.
        """
        # One check at a time, so that the last report is of the last check.
        with self._checking:
            if self._checks.is_stopped:
                return ProbeResult(ready=False, problems=["shutting down"])
            seen = _summarize(
                [_check_backend(name, backend) for name, backend in self._backends.items()],
                [_silent(each, each.reached) for each in self._reachability() if each.reached > self._timeouts.ready],
            )
            self._on_check(seen.ready)
            return seen

    def check_liveness(self) -> ProbeResult:
        """Returns whether the process makes progress, however slowly; a service that shuts down counts as alive."""
        if self._checks.is_stopped:
            return ProbeResult(ready=True, problems=[])
        late = [_silent(each, each.answered) for each in self._reachability() if each.answered > self._timeouts.live]
        return ProbeResult(ready=not late, problems=late)

    def start(self) -> None:
        """Checks now, and then at every interval."""
        self.check()
        self._checks.start()

    def stop(self) -> None:
        """Stops the checks: the service is not ready from now on, which is reported once."""
        if self._checks.is_stopped:
            return
        self._checks.stop()
        with self._checking:
            self._on_check(False)  # noqa: FBT003 - all that it takes is a truth value

    def _check_and_log(self) -> None:
        seen = self.check()
        if seen.problems:
            _log.warning("ready, with problems" if seen.ready else "not ready", extra={"problems": seen.problems})


class _Checked(NamedTuple):
    """The result of one backend's check: its problems, whether calls can be served, and whether it is local if not."""

    problems: Sequence[str]
    serves: bool
    is_local: bool = False


def _check_backend(name: str, backend: Backend) -> _Checked:
    try:
        return _Checked(backend.check(), serves=True)
    except LastingError as error:
        return _Checked([f"{name}: {_text(error)}"], serves=False)
    except TokendError as error:
        return _Checked([f"{name}: {_text(error)}"], serves=False, is_local=True)
    except Exception:  # noqa: BLE001 - any error means not ready, and checks must continue
        _log.exception("a check failed", extra={"backend": name})
        return _Checked([f"{name}: internal error"], serves=False, is_local=True)


def _summarize(checks: Sequence[_Checked], silent: Sequence[str]) -> ProbeResult:
    ready = any(check.serves for check in checks) and not any(check.is_local for check in checks) and not silent
    return ProbeResult(ready, [*silent, *(problem for check in checks for problem in check.problems)])


def _silent(reach: Reachability, seconds: float) -> str:
    since = "since the start" if seconds == inf else f"for {seconds:.0f} s"
    return f"{reach.section} {reach.listen}: no call of tokend's own has passed {since}"


def _text(error: TokendError) -> str:
    return f"{error.text} {error.advice}".rstrip()
