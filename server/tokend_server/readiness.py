"""Whether the service could serve a call now.

What fails in this process makes it not ready, so that others of its kind take its calls. Credentials that AWS refuses
are the same in all of them: they make it not ready only when no pool is left that works.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tokend_server.engine import Engine
from tokend_server.errors import EngineCredentialsRejected, TokendError

_log = logging.getLogger(__name__)


class Look(NamedTuple):
    """What a look at the engines has shown.

    Attributes:
        ready: Calls are welcome.
        problems: What keeps calls from being served, a line for each pool that has it.
    """

    ready: bool
    problems: list[str]


class Readiness:
    """Looks at every engine, on demand and again and again, and tells when the answer is known.

    Args:
        engines: The engines by identity pool id.
        tell: Is told at each look whether the service could serve.
        interval: Seconds between two looks.
    """

    def __init__(self, engines: Mapping[str, Engine], tell: Callable[[bool], None], *, interval: float = 5.0) -> None:
        self._engines = engines
        self._tell = tell
        self._interval = interval
        self._looking = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="readiness", daemon=True)

    def look(self) -> Look:
        """Looks now.

        Returns:
            Whether calls are welcome, and what keeps those of some pools from being served, a line for each.
        """
        # One look at a time, so that what is told last is what was seen last.
        with self._looking:
            if self._stopped.is_set():
                return Look(ready=False, problems=["shutting down"])
            failures = {
                pool_id: error for pool_id, engine in self._engines.items() if (error := _failure(pool_id, engine))
            }
            ours = [error for error in failures.values() if not isinstance(error, EngineCredentialsRejected)]
            seen = Look(
                ready=not ours and len(failures) < len(self._engines),
                problems=[f"{pool_id}: {_text(error)}" for pool_id, error in failures.items()],
            )
            self._tell(seen.ready)
            return seen

    def start(self) -> None:
        """Looks now, and from then on every interval."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Looks no more: from now on the service is not ready."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_looking(self) -> None:
        while not self._stopped.wait(self._interval):
            seen = self.look()
            if seen.problems:
                _log.warning("pools cannot be served" if seen.ready else "not ready", extra={"problems": seen.problems})


def _failure(pool_id: str, engine: Engine) -> Exception | None:
    try:
        engine.check()
    except TokendError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, the service is not ready, and must go on looking
        _log.exception("the check of an engine failed", extra={"pool": pool_id})
        return error
    return None


def _text(error: Exception) -> str:
    return f"{error.text} {error.advice}".rstrip() if isinstance(error, TokendError) else "internal error"
