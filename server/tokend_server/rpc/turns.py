"""The tasks of one line: the connections in it take turns."""

from collections import deque
from typing import Generic, TypeVar

_Task = TypeVar("_Task")


class Turns(Generic[_Task]):
    """Tasks of several connections, of which each gets its turn however many tasks the others have.

    Attributes:
        count: How many there are.
    """

    __slots__ = ("_waiting", "count")

    def __init__(self) -> None:
        #: By connection, the one whose turn is next first. A dict keeps that order, and finds a connection at once.
        self._waiting: dict[str, deque[_Task]] = {}
        self.count = 0

    def __contains__(self, task: object) -> bool:
        return any(task in tasks for tasks in self._waiting.values())

    def append(self, task: _Task, connection: str) -> None:
        """Puts a task behind those of its connection."""
        tasks = self._waiting.get(connection)
        if tasks is None:
            tasks = self._waiting[connection] = deque()
        tasks.append(task)
        self.count += 1

    def popleft(self) -> _Task:
        """Takes the first task of the connection whose turn it is.

        Raises:
            StopIteration: There is none.
        """
        connection = next(iter(self._waiting))
        tasks = self._waiting.pop(connection)
        task = tasks.popleft()
        if tasks:
            self._waiting[connection] = tasks
        self.count -= 1
        return task

    def remove(self, task: _Task) -> None:
        """Takes a task back.

        Raises:
            ValueError: It is not here.
        """
        for connection, tasks in self._waiting.items():
            if task in tasks:
                tasks.remove(task)
                if not tasks:
                    del self._waiting[connection]
                self.count -= 1
                return
        raise ValueError("no such task")
