"""The tasks of one line, whose connections are served in turn."""

from collections import deque
from typing import Generic, TypeVar

_Task = TypeVar("_Task")


class Turns(Generic[_Task]):
    """A round-robin queue: each connection gets its turn, however many tasks the others have.

    Attributes:
        count: The number of tasks.
    """

    __slots__ = ("_waiting", "count")

    def __init__(self) -> None:
        #: By connection, the next one first. A dict keeps this order and finds a connection in constant time.
        self._waiting: dict[str, deque[_Task]] = {}
        self.count = 0

    def __contains__(self, task: object) -> bool:
        return any(task in tasks for tasks in self._waiting.values())

    def append(self, task: _Task, connection: str) -> None:
        """Adds a task after those of its connection."""
        tasks = self._waiting.get(connection)
        if tasks is None:
            tasks = self._waiting[connection] = deque()
        tasks.append(task)
        self.count += 1

    def popleft(self) -> _Task:
        """Removes and returns the first task of the next connection.

        Raises:
            StopIteration: There are no tasks.
        """
        connection = next(iter(self._waiting))
        tasks = self._waiting.pop(connection)
        task = tasks.popleft()
        if tasks:
            self._waiting[connection] = tasks
        self.count -= 1
        return task

    def remove(self, task: _Task) -> None:
        """Removes a task.

        Raises:
            ValueError: There is no such task.
        """
        for connection, tasks in self._waiting.items():
            if task in tasks:
                tasks.remove(task)
                if not tasks:
                    del self._waiting[connection]
                self.count -= 1
                return
        raise ValueError("no such task")
