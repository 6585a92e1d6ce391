"""After any events, no token is signed early with a key that a verifier of the last day has not received."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock
from tests.support.key_replica import ES256, KeyReplica

from tokend_server.config import KeyTimes
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import EngineUnavailable

TIMES = KeyTimes(publish_before=4 * 3600, when_seen=True)
DOWN = EngineUnavailable("It does not answer.")
START = 1_800_000_000

#: Clocks of servers, which differ by at most five minutes.
AHEAD = (0, 300)

servers = st.integers(0, len(AHEAD) - 1)
verifiers = st.sampled_from("vw")

#: The possible events: the name, and the server or the duration.
Happening: TypeAlias = tuple[str, int, str]

fetches = st.tuples(st.just("fetch"), servers, verifiers)
waits = st.tuples(st.just("wait"), st.sampled_from((4, 20, 400)), st.just(""))
losses = st.tuples(st.just("lose_store"), servers, st.just(""))
others = st.tuples(st.sampled_from(("find_store", "restart", "kill")), servers, st.just(""))
happenings = st.lists(st.one_of(fetches, fetches, waits, losses, others), max_size=4)


class Given(NamedTuple):
    """The last key set that a verifier has really received."""

    at: float
    key_ids: frozenset[str]


class Servers:
    """Servers with different clocks, on one store; some stop, start, or lose the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 0.0
        self.started = 0
        self.given: dict[str, Given] = {}
        self.next_key = ""
        self.begun_early = False
        self.replicas = [self._started(ahead) for ahead in AHEAD]

    def happen(self, some: Sequence[Happening]) -> None:
        for name, subject, verifier in some:
            getattr(self, name)(subject, verifier)
            self.check()

    def fetch(self, number: int, verifier: str) -> None:
        self.given[verifier] = Given(self.now, self.replicas[number].fetched_by(verifier))

    def wait(self, seconds: int, _: str = "") -> None:
        for passed in (seconds - 2, 2):
            self.now += passed
            for each in self.replicas:
                each.pass_time(passed)

    def rotate(self, number: int) -> None:
        self.find_store(number)
        self.next_key = self.replicas[number].rotation.add(ES256, signs_in=TIMES.publish_before).kid

    def lose_store(self, number: int, _: str) -> None:
        self.replicas[number].lose_store(DOWN)

    def find_store(self, number: int, _: str = "") -> None:
        self.replicas[number].find_store()

    def restart(self, number: int, _: str) -> None:
        self.replicas[number].task.stop()
        self.kill(number, _)

    def kill(self, number: int, _: str) -> None:
        self.replicas[number] = self._started(AHEAD[number])

    def check(self) -> None:
        """The next key does not sign early while the last key set of a verifier is an older one."""
        for replica in self.replicas:
            if replica.signs_with() == self.next_key:
                self.begun_early = True
                assert all(self.next_key in each.key_ids for each in self.given.values())

    def _started(self, ahead: float) -> KeyReplica:
        self.started += 1
        return KeyReplica(self.store, FakeClock(START + self.now + ahead), TIMES, name=f"server-{self.started}")


@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    before=happenings,
    rotated_by=servers,
    rounds=st.lists(
        st.tuples(happenings, servers, st.lists(st.tuples(st.just("fetch"), servers, st.just("w")), max_size=1)),
        min_size=1,
        max_size=3,
    ),
)
def test_no_key_signs_early_before_every_verifier_has_it(
    before: list[Happening], rotated_by: int, rounds: list[tuple[list[Happening], int, list[Happening]]]
) -> None:
    with TemporaryDirectory() as directory, closing(open_store(Path(directory) / "tokend.db")) as store:
        store.migrate()
        all_of_them = Servers(store)
        all_of_them.happen(before)
        all_of_them.rotate(rotated_by)
        all_of_them.wait(20)
        for some, first, second in rounds:
            all_of_them.happen([*some, ("fetch", first, "v"), *second, ("wait", 400, "")])
            all_of_them.happen([*some, ("wait", 400, ""), ("wait", 400, "")])
        event(f"the next key begins early: {all_of_them.begun_early}")
