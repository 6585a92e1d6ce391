"""Presents tokens to a verifier at scheduled times."""

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.key_rotations.verifiers import Verify

#: The maximum number of tokens that a verifier gets at once.
_MOST = 50


class Presentation(NamedTuple):
    """A token to be presented; times are those of the monotonic clock.

    Attributes:
        due: When to present it.
        until: The end of the time in which a verifier must accept it.
        token: The token.
        kid: The key that signed it.
    """

    due: float
    until: float
    token: str
    kid: str


class Presenting:
    """A thread that presents tokens to one verifier.

    Args:
        name: The verifier's name.
        verify: The verifier.
        judge: Called with the name, each presented token, and the reason of its rejection, empty if accepted.
    """

    def __init__(self, name: str, verify: Verify, judge: Callable[[str, Presentation, str], None]) -> None:
        self._name = name
        self._verify = verify
        self._judge = judge
        self._waiting: list[Presentation] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._present, name=name)
        self._thread.start()

    def add(self, *presentations: Presentation) -> None:
        with self._changed:
            for each in presentations:
                heapq.heappush(self._waiting, each)
            self._changed.notify()

    def stop(self) -> None:
        """Presents the remaining tokens at once, and stops."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()

    def _present(self) -> None:
        while batch := self._batch():
            begun = time.monotonic()
            presented = [each for each in batch if each.until > begun]
            verdicts = self._verify([each.token for each in presented])
            ended = time.monotonic()
            for each, why in zip(presented, verdicts, strict=True):
                # A token that expired meanwhile may have been rejected for that.
                if each.until > ended:
                    self._judge(self._name, each, why)

    def _batch(self) -> Sequence[Presentation]:
        """Waits until a token is due, and returns those that are; none after the end."""
        with self._changed:
            while not self._is_over and (not self._waiting or self._waiting[0].due > time.monotonic()):
                self._changed.wait(self._waiting[0].due - time.monotonic() if self._waiting else None)
            now = float("inf") if self._is_over else time.monotonic()
            batch = list[Presentation]()
            while self._waiting and self._waiting[0].due <= now and len(batch) < _MOST:
                batch.append(heapq.heappop(self._waiting))
            return batch
