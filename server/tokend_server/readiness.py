"""Whether the service could serve a call now."""

import logging
import threading
from collections.abc import Callable, Mapping

from tokend_server.engine import Engine
from tokend_server.errors import TokendError

_log = logging.getLogger(__name__)


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

    def problems(self) -> list[str]:
        """Looks now.

        Returns:
            What keeps the service from serving, a line for each pool; nothing when it could serve.
        """
        # One look at a time, so that what is told last is what was seen last.
        with self._looking:
            if self._stopped.is_set():
                return ["shutting down"]
            found = [problem for pool_id, engine in self._engines.items() if (problem := _problem(pool_id, engine))]
            self._tell(not found)
            return found

    def start(self) -> None:
        """Looks now, and from then on every interval."""
        self.problems()
        self._thread.start()

    def stop(self) -> None:
        """Looks no more: from now on the service is not ready."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_looking(self) -> None:
        while not self._stopped.wait(self._interval):
            if found := self.problems():
                _log.warning("not ready", extra={"problems": found})


def _problem(pool_id: str, engine: Engine) -> str | None:
    try:
        engine.check()
    except TokendError as error:
        return f"{pool_id}: {error.text}"
    except Exception:  # noqa: BLE001 - whatever it is, the service is not ready, and must go on looking
        _log.exception("the check of an engine failed", extra={"pool": pool_id})
        return f"{pool_id}: internal error"
    return None
