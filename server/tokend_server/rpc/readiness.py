"""Whether the service could serve a call now.

What fails in this process makes it not ready, so that others of its kind take its calls. What lasts until an operator
acts, such as credentials that AWS refuses, is the same in all of them: it makes them not ready only when no pool is
left that works. What pools share is checked once, however many pools there are.
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
    """What a look at the backends has shown.

    Attributes:
        ready: Calls are welcome.
        problems: What keeps calls from being served, a line for each backend, or for each of a few pools, that has it.
    """

    ready: bool
    problems: list[str]


class Reach(NamedTuple):
    """How callers would fare at a listener.

    Attributes:
        listen: Its address.
        answered: Seconds since a call of tokend's own was last answered by the threads that answer calls.
        reached: Seconds since that call passed, and a connection to the address itself too; infinite if none has.
        section: The section of the configuration that the listener is of.
    """

    listen: str
    answered: float
    reached: float
    section: str = "grpc"


class Patience(NamedTuple):
    """How many seconds no probe may have passed before the service is not ready, and before it is not alive."""

    ready: float = 10.0
    live: float = 60.0


class Readiness:
    """Looks at every backend and listener, on demand and again and again, and tells when the answer is known.

    HTTP probes and gRPC health have their answers from here.

    Args:
        backends: What the engines share, by name.
        tell: Called at each look with whether the service could serve.
        reaches: Tells how callers would fare at each listener.
        patience: For how long a listener may be silent.
        interval: Seconds between two looks.
    """

    def __init__(
        self,
        backends: Mapping[str, Backend],
        tell: Callable[[bool], None],
        reaches: Callable[[], Sequence[Reach]] = tuple,
        *,
        patience: Patience = Patience(),  # noqa: B008 - it is a constant
        interval: float = 5.0,
    ) -> None:
        self._backends = backends
        self._tell = tell
        self._reaches = reaches
        self._patience = patience
        self._looking = threading.Lock()
        self._looks = Repeating(self._look_and_log, interval, "readiness")

    def look(self) -> ProbeResult:
        """Looks now.

        Returns:
            Whether calls are welcome, and what keeps some or all from being served.
        """
        # One look at a time, so that what is reported last is what was seen last.
        with self._looking:
            if self._looks.is_stopped:
                return ProbeResult(ready=False, problems=["shutting down"])
            seen = _sum_up(
                [_check(name, backend) for name, backend in self._backends.items()],
                [_silent(each, each.reached) for each in self._reaches() if each.reached > self._patience.ready],
            )
            self._tell(seen.ready)
            return seen

    def alive(self) -> ProbeResult:
        """Whether the process does its work, however slowly; a service that shuts down does."""
        if self._looks.is_stopped:
            return ProbeResult(ready=True, problems=[])
        late = [_silent(each, each.answered) for each in self._reaches() if each.answered > self._patience.live]
        return ProbeResult(ready=not late, problems=late)

    def start(self) -> None:
        """Looks now, and from then on every interval."""
        self.look()
        self._looks.start()

    def stop(self) -> None:
        """Looks no more: from now on the service is not ready, which it says once."""
        if self._looks.is_stopped:
            return
        self._looks.stop()
        with self._looking:
            self._tell(False)  # noqa: FBT003 - all that it takes is a truth value

    def _look_and_log(self) -> None:
        seen = self.look()
        if seen.problems:
            _log.warning("ready, with problems" if seen.ready else "not ready", extra={"problems": seen.problems})


class _Checked(NamedTuple):
    """What a check has shown: the lines about it, whether any call could be served, and whose fault it is if not."""

    problems: Sequence[str]
    serves: bool
    ours: bool = False


def _check(name: str, backend: Backend) -> _Checked:
    try:
        return _Checked(backend.check(), serves=True)
    except LastingError as error:
        return _Checked([f"{name}: {_text(error)}"], serves=False)
    except TokendError as error:
        return _Checked([f"{name}: {_text(error)}"], serves=False, ours=True)
    except Exception:  # noqa: BLE001 - whatever it is, the service is not ready, and must go on looking
        _log.exception("a check failed", extra={"backend": name})
        return _Checked([f"{name}: internal error"], serves=False, ours=True)


def _sum_up(checks: Sequence[_Checked], silent: Sequence[str]) -> ProbeResult:
    ready = any(check.serves for check in checks) and not any(check.ours for check in checks) and not silent
    return ProbeResult(ready, [*silent, *(problem for check in checks for problem in check.problems)])


def _silent(reach: Reach, seconds: float) -> str:
    since = "since the start" if seconds == inf else f"for {seconds:.0f} s"
    return f"{reach.section} {reach.listen}: no call of tokend's own has passed {since}"


def _text(error: TokendError) -> str:
    return f"{error.text} {error.advice}".rstrip()
