"""The calls that wait for a thread: every connection has a line of its own, and the lines take turns."""

import heapq
import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Generic, TypeVar

from tokend_server.clock import Clock

_Task = TypeVar("_Task")

#: What a taker is told: there is a task for it, or it is to end.
_TASK, _END = True, False

#: The most seconds that a line is held back at once.
_LONGEST_PAUSE = 1.0


@dataclass(slots=True)
class _Line(Generic[_Task]):
    """What waits of one connection.

    Attributes:
        tasks: The tasks that nobody has taken.
        unfinished: How many have not ended, those that wait and those that are worked on.
        held_until: Monotonic reading until which none is taken.
        held: It is among the lines that are held back.
    """

    tasks: deque[_Task] = field(default_factory=deque)
    unfinished: int = 0
    held_until: float = 0.0
    held: bool = False


class FairQueue(Generic[_Task]):
    """Tasks of many connections, of which each gets its turn however many tasks the others have.

    A queue that is full takes no more tasks of connections that have their share of it. A connection may be held back:
    gRPC then keeps its calls, and itself turns away what is beyond the most calls of a connection, for a hundredth of
    what it costs to refuse them here.

    Args:
        most: How many tasks there may be before only those of connections below their share are taken.
        clock: Measures pauses.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._lines: dict[str, _Line[_Task]] = {}
        self._turns: deque[_Line[_Task]] = deque()
        self._held: list[tuple[float, int, str, _Line[_Task]]] = []
        self._numbers = count()
        self._unfinished = 0
        # One for each task, and one for each taker that is to end. Waiting for them costs less than for a condition.
        self._tickets: SimpleQueue[bool] = SimpleQueue()
        self._tickets_put_by = 0
        self._lock = threading.Lock()
        self._pause = threading.Condition(self._lock)
        self._ended = False
        self._waker = threading.Thread(target=self._keep_waking, name="grpc-pauses", daemon=True)
        self._waker.start()

    def offer(self, task: _Task, connection: str) -> bool:
        """Puts a task into the line of its connection, unless there are too many."""
        with self._lock:
            line = self._lines.get(connection)
            waiting = line.unfinished if line else 0
            if self._unfinished >= self._most and waiting >= max(1, self._most // max(1, len(self._lines))):
                return False
            if line is None:
                line = self._lines[connection] = _Line()
            self._unfinished += 1
            line.unfinished += 1
            line.tasks.append(task)
            if len(line.tasks) == 1 and not line.held:
                self._turns.append(line)
        self._tickets.put(_TASK)
        return True

    def take(self) -> _Task | None:
        """Waits for a task of the line whose turn it is; None asks the taker to end."""
        while self._tickets.get():
            with self._lock:
                if not self._turns:  # all that is left is held back
                    self._tickets_put_by += 1
                    continue
                line = self._turns.popleft()
                task = line.tasks.popleft()
                if line.tasks:
                    self._turns.append(line)
                return task
        return None

    def end_taker(self) -> None:
        """Asks one taker to end, when what waits now has been taken."""
        self._tickets.put(_END)

    def end(self, connection: str) -> None:
        """Counts a task of a connection as ended."""
        with self._lock:
            line = self._lines[connection]
            self._unfinished -= 1
            line.unfinished -= 1
            self._forget_if_over(connection, line)

    def hold_back(self, connection: str, seconds: float) -> None:
        """Takes no task of a connection for some seconds more."""
        with self._lock:
            line = self._lines.get(connection)
            if line is None or not seconds:
                return
            now = self._clock.monotonic()
            line.held_until = min(max(line.held_until, now) + seconds, now + _LONGEST_PAUSE)
            if line.held:
                return
            line.held = True
            if line.tasks:
                self._turns.remove(line)
            self._hold(connection, line)

    def wake(self) -> None:
        """Gives those lines their turns back whose pauses are over."""
        with self._lock:
            self._wake()

    def close(self) -> None:
        """Holds nothing back any more."""
        with self._lock:
            self._ended = True
            self._pause.notify()
        self._waker.join()

    def _hold(self, connection: str, line: _Line[_Task]) -> None:
        heapq.heappush(self._held, (line.held_until, next(self._numbers), connection, line))
        self._pause.notify()

    def _wake(self) -> None:
        now = self._clock.monotonic()
        while self._held and (self._ended or self._held[0][0] <= now):
            _, _, connection, line = heapq.heappop(self._held)
            if line.held_until > now and not self._ended:
                self._hold(connection, line)
                continue
            line.held = False
            if line.tasks:
                self._turns.append(line)
            self._forget_if_over(connection, line)
        if self._turns:
            for _ in range(self._tickets_put_by):
                self._tickets.put(_TASK)
            self._tickets_put_by = 0

    def _forget_if_over(self, connection: str, line: _Line[_Task]) -> None:
        if not line.unfinished and not line.held:
            del self._lines[connection]

    def _keep_waking(self) -> None:
        with self._lock:
            while not self._ended:
                self._wake()
                self._pause.wait(self._held[0][0] - self._clock.monotonic() if self._held else None)
            self._wake()
