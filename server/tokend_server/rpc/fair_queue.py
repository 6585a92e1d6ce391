"""A fair queue of calls that wait for a thread: one line for each caller, served in turn; see `Lines`."""

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

#: The tickets that wake a taker: there is a task, or the taker should end.
_TASK, _END = True, False

#: The maximum number of seconds of a pause.
_MAX_PAUSE = 1.0


@dataclass(slots=True, eq=False)
class _Line(Generic[_Task]):
    """One line of the queue.

    Attributes:
        tasks: The tasks that wait.
        unfinished: The number of tasks that wait or run.
        paused_until: Monotonic time until which no task is taken.
        paused: Whether the line is paused.
    """

    tasks: Turns[_Task] = field(default_factory=Turns)
    unfinished: int = 0
    paused_until: float = 0.0
    paused: bool = False


class FairQueue(Generic[_Task]):
    """A round-robin queue: each line gets its turn, however many tasks the other lines have.

    A full queue accepts no more tasks of lines that use their share of it. A line may be paused: gRPC then keeps the
    calls of its connections, and refuses calls beyond a connection's maximum by itself, at a hundredth of the cost of a
    refusal here.

    Args:
        max_tasks: The number of tasks from which on only lines below their share may add tasks.
        clock: Measures pauses.
    """

    def __init__(self, max_tasks: int, clock: Clock) -> None:
        self._max_tasks = max_tasks
        self._clock = clock
        self._lines: dict[str, _Line[_Task]] = {}
        self._turns: deque[_Line[_Task]] = deque()
        self._paused: list[tuple[float, int, str, _Line[_Task]]] = []
        self._numbers = count()
        self._unfinished = 0
        # One for each task, and one for each taker that should end. A SimpleQueue is faster than a condition variable.
        self._tickets: SimpleQueue[bool] = SimpleQueue()
        self._tickets_put_by = 0
        self._tickets_left_over = 0
        self._lock = threading.Lock()
        self._pauses_changed = threading.Condition(self._lock)
        self._ended = False
        self._waker = threading.Thread(target=self._wake_when_due, name="grpc-pauses", daemon=True)
        self._waker.start()

    def offer(self, task: _Task, name: str, connection: str = "") -> bool:
        """Adds a task to a line, whose connections take turns; returns whether it was accepted."""
        with self._lock:
            line = self._lines.get(name)
            waiting = line.unfinished if line else 0
            if self._unfinished >= self._max_tasks and waiting >= max(1, self._max_tasks // max(1, len(self._lines))):
                return False
            if line is None:
                line = self._lines[name] = _Line()
            self._unfinished += 1
            line.unfinished += 1
            line.tasks.append(task, connection)
            if line.tasks.count == 1 and not line.paused:
                self._turns.append(line)
            if self._tickets_left_over:
                self._tickets_left_over -= 1
                if not self._tickets_put_by:
                    return True
                self._tickets_put_by -= 1  # the left-over ticket may be one of those put by for the end of a pause
        self._tickets.put(_TASK)
        return True

    def take(self) -> _Task | None:
        """Waits for a task of the next line; None if the taker should end."""
        while self._tickets.get():
            with self._lock:
                if not self._turns:  # the lines of all remaining tasks are paused, or they were withdrawn
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
        """Asks one taker to end after the tasks that wait now."""
        self._tickets.put(_END)

    def end(self, name: str) -> None:
        """Records the end of a task of a line."""
        with self._lock:
            line = self._lines[name]
            self._unfinished -= 1
            line.unfinished -= 1
            self._remove_if_unused(name, line)

    def withdraw(self, task: _Task, name: str) -> bool:
        """Removes and ends a task of a line, unless a thread has taken it; returns whether it was removed."""
        with self._lock:
            line = self._lines.get(name)
            if line is None or task not in line.tasks:
                return False
            line.tasks.remove(task)
            self._tickets_left_over += 1
            if not line.tasks.count and not line.paused:
                self._turns.remove(line)
            self._unfinished -= 1
            line.unfinished -= 1
            self._remove_if_unused(name, line)
            return True

    def move(self, name: str, to: str) -> None:
        """Counts a running task of a line in another line."""
        with self._lock:
            line = self._lines[name]
            line.unfinished -= 1
            self._remove_if_unused(name, line)
            self._lines.setdefault(to, _Line()).unfinished += 1

    def pause(self, name: str, seconds: float) -> None:
        """Pauses a line, or extends its pause."""
        with self._lock:
            line = self._lines.get(name)
            if line is None or not seconds or self._ended:
                return
            now = self._clock.monotonic()
            line.paused_until = min(max(line.paused_until, now) + seconds, now + _MAX_PAUSE)
            if line.paused:
                return
            line.paused = True
            if line.tasks.count:
                self._turns.remove(line)
            self._schedule_end_of_pause(name, line)

    def wake(self) -> None:
        """Resumes the lines whose pauses have ended."""
        with self._lock:
            self._wake()

    def close(self) -> None:
        """Resumes all lines, and stops the thread that ends pauses."""
        with self._lock:
            self._ended = True
            self._pauses_changed.notify()
        self._waker.join()

    def _schedule_end_of_pause(self, name: str, line: _Line[_Task]) -> None:
        heapq.heappush(self._paused, (line.paused_until, next(self._numbers), name, line))
        self._pauses_changed.notify()

    def _wake(self) -> None:
        now = self._clock.monotonic()
        while self._paused and (self._ended or self._paused[0][0] <= now):
            _, _, name, line = heapq.heappop(self._paused)
            if line.paused_until > now and not self._ended:
                self._schedule_end_of_pause(name, line)
                continue
            line.paused = False
            if line.tasks.count:
                self._turns.append(line)
            self._remove_if_unused(name, line)
        if self._turns:
            for _ in range(self._tickets_put_by):
                self._tickets.put(_TASK)
            self._tickets_put_by = 0

    def _remove_if_unused(self, name: str, line: _Line[_Task]) -> None:
        if not line.unfinished and not line.paused:
            del self._lines[name]

    def _wake_when_due(self) -> None:
        with self._lock:
            while not self._ended:
                self._wake()
                self._pauses_changed.wait(self._paused[0][0] - self._clock.monotonic() if self._paused else None)
            self._wake()
