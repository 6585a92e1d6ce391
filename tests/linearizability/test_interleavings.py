"""Two or three concurrent calls, in every interleaving of their uses of the store."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import pytest
from tests.linearizability.calls import DEVELOPER, PUBLIC, Answer, Call, answer
from tests.linearizability.model import Event, MemoryStore, engines, is_explained

from tokend_server.model import Identity

POOL = "eu-west-1:1"
A, B = "eu-west-1:1", "eu-west-1:2"


@cache
def before() -> Sequence[Identity]:
    """Identity A, with the users a and a2 and the public user p, and B, with b."""
    store, guids = MemoryStore(), itertools.count(1)
    serving = engines(POOL, store, lambda: str(next(guids)))
    for call in (
        Call("token", {DEVELOPER: "a", PUBLIC: "user p"}),
        Call("token", {DEVELOPER: "a2"}, A),
        Call("token", {DEVELOPER: "b"}),
    ):
        assert answer(serving, POOL, call)[0] == "identity"
    assert list(store.by_id) == [A, B]
    return [*store.by_id.values()]


CALLS = {
    "token of a": Call("token", {DEVELOPER: "a"}),
    "token of a and p": Call("token", {DEVELOPER: "a", PUBLIC: "user p"}),
    "token of b and p": Call("token", {DEVELOPER: "b", PUBLIC: "user p"}),
    "token of b": Call("token", {DEVELOPER: "b"}),
    "token of b for A": Call("token", {DEVELOPER: "b"}, A),
    "token of a new user": Call("token", {DEVELOPER: "new"}),
    "token of a new user for A": Call("token", {DEVELOPER: "new"}, A),
    "token of a new user and p": Call("token", {DEVELOPER: "new", PUBLIC: "user p"}),
    "lookup of a": Call("lookup", {"user": "a"}),
    "lookup of A and a": Call("lookup", {"user": "a"}, A),
    "lookup of A": Call("lookup", identity_id=A),
    "merge of a into b": Call("merge", {"source": "a", "destination": "b"}),
    "merge of b into a": Call("merge", {"source": "b", "destination": "a"}),
    "unlink of a": Call("unlink", {"user": "a"}, A),
    "unlink of a2": Call("unlink", {"user": "a2"}, A),
    "unlink of b": Call("unlink", {"user": "b"}, B),
    "unlink of b from A": Call("unlink", {"user": "b"}, A),
    "deletion of A": Call("delete", identity_id=A),
    "deletion of B": Call("delete", identity_id=B),
}

#: The lookups afterwards: the identity of every user.
AFTER = [Call("lookup", {"user": user}) for user in ("a", "a2", "b", "new")]


class Turns:
    """Runs threads in turn: a thread waits at each use of the store for its turn."""

    def __init__(self, count: int) -> None:
        self._go = [threading.Semaphore(0) for _ in range(count)]
        self._arrived = threading.Semaphore(0)
        self._mine = threading.local()
        self.ended = [False] * count

    def run(self, number: int, work: Callable[[], None]) -> None:
        self._mine.number = number
        self.wait()
        work()
        self.ended[number] = True
        self._arrived.release()

    def wait(self) -> None:
        """Ends this thread's turn, and waits for the next one; a thread without a number does not wait."""
        number = getattr(self._mine, "number", None)
        if number is not None:
            self._arrived.release()
            self._go[number].acquire()

    def all_arrived(self) -> None:
        for _ in self._go:
            self._arrived.acquire()

    def step(self, number: int) -> None:
        """Runs a thread until its next use of the store, or its end."""
        self._go[number].release()
        self._arrived.acquire()


class StoreInTurns(MemoryStore):
    """A store in which each use waits for its thread's turn."""

    def __init__(self, turns: Turns) -> None:
        super().__init__(before())
        self._turns = turns

    def owners(self, *arguments: Any) -> Any:  # noqa: ANN401 - as below
        self._turns.wait()
        return super().owners(*arguments)

    def read(self, *arguments: Any, **deadline: Any) -> Any:  # noqa: ANN401 - as below
        self._turns.wait()
        return super().read(*arguments, **deadline)

    def commit(self, *changes: Any, **deadline: Any) -> None:  # noqa: ANN401 - handed on as they are
        self._turns.wait()
        super().commit(*changes, **deadline)

    def delete(self, identity_id: str) -> bool:
        self._turns.wait()
        return super().delete(identity_id)


def played(calls: Sequence[Call], choices: Sequence[int]) -> tuple[list[Event], list[tuple[int, int]]]:
    """Makes each call in a separate thread.

    Args:
        calls: The calls.
        choices: The index, at each step, of the next thread among the running ones; after the last choice, the first.

    Returns:
        The events, and the choices with the number of running threads at each.
    """
    turns = Turns(len(calls))
    guids = itertools.count(len(before()) + 1)
    serving = engines(POOL, StoreInTurns(turns), lambda: str(next(guids)))
    time = itertools.count()
    answers: dict[int, Answer] = {}

    def making(number: int) -> None:
        answers[number] = answer(serving, POOL, calls[number])

    threads = [
        threading.Thread(target=turns.run, args=(number, lambda number=number: making(number)))
        for number in range(len(calls))
    ]
    for thread in threads:
        thread.start()
    turns.all_arrived()
    began = next(time)
    taken: list[tuple[int, int]] = []
    for choice in itertools.chain(choices, itertools.repeat(0)):
        running = [number for number, ended in enumerate(turns.ended) if not ended]
        if not running:
            break
        taken.append((choice, len(running)))
        turns.step(running[choice])
    for thread in threads:
        thread.join()
    ended = next(time)
    history = [Event(call, answers[number], began, ended) for number, call in enumerate(calls)]
    history += [called(serving, call, time) for call in AFTER]
    return history, taken


def called(serving: Any, call: Call, time: Iterator[int]) -> Event:  # noqa: ANN401 - Engines
    began = next(time)
    return Event(call, answer(serving, POOL, call), began, next(time))


def histories(calls: Sequence[Call]) -> Iterator[list[Event]]:
    """Yields the histories of all choices, depth first."""
    choices: list[int] = []
    while True:
        history, taken = played(calls, choices)
        yield history
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        choices = [choice for choice, _ in taken]
        choices[-1] += 1


@pytest.mark.parametrize("names", list(itertools.combinations_with_replacement(CALLS, 2)), ids=" beside ".join)
def test_two_concurrent_calls_are_linearizable(names: tuple[str, str]) -> None:
    for history in histories([CALLS[name] for name in names]):
        assert is_explained(POOL, history, before()), history
