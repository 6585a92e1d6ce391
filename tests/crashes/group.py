"""Users who are merged and unlinked by many clients concurrently, and the result."""

import random
import threading
import time
from collections.abc import Iterator, Sequence

from tests.crashes.calls import answer
from tests.linearizability.calls import DEVELOPER, Answer, Call
from tests.linearizability.model import INTERRUPTED, Event, is_explained
from tests.support.calls import Caller
from tests.support.server_process import POOL_ID


class Group:
    """Some users and the history of all their calls.

    Args:
        name: Distinguishes its users from those of other groups.
        choose: Chooses the calls.
        linked: The number of users of the first identity; the second has one, and two users have none.
    """

    def __init__(self, name: str, choose: random.Random, linked: int) -> None:
        self._choose = choose
        self._lock = threading.Lock()
        first, rest = [f"{name}-{number}" for number in range(linked)], [f"{name}-{letter}" for letter in "xyz"]
        self.users = [*first, *rest]
        # The calls are about few of them, so that they meet.
        self._called = [first[0], first[-1], *rest]
        self._first = first
        self._identity_ids: list[str] = []
        self.history: list[Event] = []

    def register(self, caller: Caller, is_killed: threading.Event) -> None:
        """Creates the first identity with its users, and the second."""
        for number, user in enumerate([*self._first, self.users[len(self._first)]]):
            named = self._identity_ids[0] if 0 < number < len(self._first) else None
            self._identity_ids.append(self.call(caller, Call("token alone", {DEVELOPER: user}, named), is_killed)[1])
        self._identity_ids = list(dict.fromkeys(self._identity_ids))

    def calls(self, count: int) -> Sequence[Call]:
        """Returns this many random calls."""
        return [self._any_call() for _ in range(count)]

    def call(self, caller: Caller, call: Call, is_killed: threading.Event) -> Answer:
        """Makes a call, and records it."""
        began = time.monotonic_ns()
        answered = answer(caller, call, is_killed)
        event = Event(call, answered, began, time.monotonic_ns())
        with self._lock:
            self.history.append(event)
        return answered

    def look_up(self, callers: Sequence[Caller], is_killed: threading.Event) -> Iterator[Answer]:
        """Looks up all users on all servers."""
        for user in self.users:
            yield self.call(self._choose.choice(callers), Call("lookup", {"user": user}), is_killed)

    def interrupted(self) -> int:
        """Returns how many calls had no response."""
        return sum(event.answer == INTERRUPTED for event in self.history)

    def is_explained(self) -> bool:
        """Returns whether some sequential order of all calls has the same results."""
        return is_explained(POOL_ID, self.history)

    def _any_call(self) -> Call:
        user, other = self._choose.sample(self._called, 2)
        identity_id = self._choose.choice(self._identity_ids)
        return self._choose.choice(
            [
                Call("token alone", {DEVELOPER: user}),
                Call("token alone", {DEVELOPER: user}, identity_id),
                Call("lookup", {"user": user}),
                Call("merge", {"source": user, "destination": other}),
                Call("merge", {"source": other, "destination": user}),
                Call("unlink", {"user": user}, identity_id),
                Call("unlink", {"user": other}, identity_id),
            ]
        )
