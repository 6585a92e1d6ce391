"""The calls that wait for a thread, in lines that take turns; see `Lines` for who stands in which."""

import heapq
import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Generic, TypeVar

from tokend_server.clock import Clock
from tokend_server.rpc.turns import Turns

_Task = TypeVar("_Task")

#: What wakes a taker: there is a task for it, or it is to end.
_TASK, _END = True, False

#: The most seconds that a line is held back at once.
_LONGEST_PAUSE = 1.0


@dataclass(slots=True, eq=False)
class _Line(Generic[_Task]):
    """What waits in one line.

    Attributes:
        tasks: The tasks that no thread has taken.
        unfinished: How many have not ended, those that wait and those that are worked on.
        held_until: Monotonic reading until which none is taken.
        held: It is among the lines that are held back.
    """

    tasks: Turns[_Task] = field(default_factory=Turns)
    unfinished: int = 0
    held_until: float = 0.0
    held: bool = False


class FairQueue(Generic[_Task]):
    """Tasks in many lines, of which each gets its turn however many tasks the others have.

    A queue that is full takes no more tasks of lines that have their share of it. A line may be held back: gRPC then
    keeps the calls of its connections, and itself turns away what is beyond the most calls of a connection, for a
    hundredth of what it costs to refuse them here.

    Args:
        most: How many tasks there may be before only those of lines below their share are taken.
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
        self._tickets_left_over = 0
        self._lock = threading.Lock()
        self._pause = threading.Condition(self._lock)
        self._ended = False
        self._waker = threading.Thread(target=self._keep_waking, name="grpc-pauses", daemon=True)
        self._waker.start()

    def offer(self, task: _Task, name: str, connection: str = "") -> bool:
        """Puts a task into a line, unless there are too many; there the connections take turns."""
        with self._lock:
            line = self._lines.get(name)
            waiting = line.unfinished if line else 0
            if self._unfinished >= self._most and waiting >= max(1, self._most // max(1, len(self._lines))):
                return False
            if line is None:
                line = self._lines[name] = _Line()
            self._unfinished += 1
            line.unfinished += 1
            line.tasks.append(task, connection)
            if line.tasks.count == 1 and not line.held:
                self._turns.append(line)
            if self._tickets_left_over:
                self._tickets_left_over -= 1
                if not self._tickets_put_by:
                    return True
                self._tickets_put_by -= 1  # what is left over may be among those that wait for the end of a pause
        self._tickets.put(_TASK)
        return True

    def take(self) -> _Task | None:
        """Waits for a task of the line whose turn it is; None asks the taker to end."""
        while self._tickets.get():
            with self._lock:
                if not self._turns:  # all that is left is held back, or was withdrawn
                    if self._tickets_left_over:
                        self._tickets_left_over -= 1
                    else:
                        self._tickets_put_by += 1
                    continue
                line = self._turns.popleft()
                task = line.tasks.popleft()
                if line.tasks.count:
                    self._turns.append(line)
                return task
        return None

    def end_taker(self) -> None:
        """Asks one taker to end, when what waits now has been taken."""
        self._tickets.put(_END)

    def end(self, name: str) -> None:
        """Counts a task of a line as ended."""
        with self._lock:
            line = self._lines[name]
            self._unfinished -= 1
            line.unfinished -= 1
            self._forget_if_over(name, line)

    def withdraw(self, task: _Task, name: str) -> bool:
        """Takes a task of a line back, unless a thread has taken it; it counts as ended."""
        with self._lock:
            line = self._lines.get(name)
            if line is None or task not in line.tasks:
                return False
            line.tasks.remove(task)
            self._tickets_left_over += 1
            if not line.tasks.count and not line.held:
                self._turns.remove(line)
            self._unfinished -= 1
            line.unfinished -= 1
            self._forget_if_over(name, line)
            return True

    def move(self, name: str, to: str) -> None:
        """Counts a task that a thread has taken from a line as one of another line."""
        with self._lock:
            line = self._lines[name]
            line.unfinished -= 1
            self._forget_if_over(name, line)
            self._lines.setdefault(to, _Line()).unfinished += 1

    def hold_back(self, name: str, seconds: float) -> None:
        """Takes no task of a line for some seconds more."""
        with self._lock:
            line = self._lines.get(name)
            if line is None or not seconds or self._ended:
                return
            now = self._clock.monotonic()
            line.held_until = min(max(line.held_until, now) + seconds, now + _LONGEST_PAUSE)
            if line.held:
                return
            line.held = True
            if line.tasks.count:
                self._turns.remove(line)
            self._hold(name, line)

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

    def _hold(self, name: str, line: _Line[_Task]) -> None:
        heapq.heappush(self._held, (line.held_until, next(self._numbers), name, line))
        self._pause.notify()

    def _wake(self) -> None:
        now = self._clock.monotonic()
        while self._held and (self._ended or self._held[0][0] <= now):
            _, _, name, line = heapq.heappop(self._held)
            if line.held_until > now and not self._ended:
                self._hold(name, line)
                continue
            line.held = False
            if line.tasks.count:
                self._turns.append(line)
            self._forget_if_over(name, line)
        if self._turns:
            for _ in range(self._tickets_put_by):
                self._tickets.put(_TASK)
            self._tickets_put_by = 0

    def _forget_if_over(self, name: str, line: _Line[_Task]) -> None:
        if not line.unfinished and not line.held:
            del self._lines[name]

    def _keep_waking(self) -> None:
        with self._lock:
            while not self._ended:
                self._wake()
                self._pause.wait(self._held[0][0] - self._clock.monotonic() if self._held else None)
            self._wake()
