"""After any events of servers and their clocks, verifiers accept every token until it expires."""

import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.fakes.clock import FakeClock
from tests.support.key_replica import ES256, KeyReplica

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.plan import Action, next_key
from tokend_server.engines.local.keys.rotation import KeyInUse, KeyNotFound
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import EngineUnavailable

#: A key's life of a few minutes, with every constraint just satisfied.
TIMES = KeyTimes(
    rotate_every=60,
    publish_before=44,
    cache_age=20,
    refresh=2.0,
    clock_skew=20,
    about_to_sign=23,
    longest_token=100,
    tokens_last=144,
)
START, TICK, SERVERS = 1_800_000_000, 2, 3
#: Seconds after which the test counts as hanging: it takes half a minute of CPU time, which is long on a busy machine.
_TIMEOUT = 1500

DOWN = EngineUnavailable("It does not answer.")

servers = st.integers(0, SERVERS - 1)


#: Caches the keys of a JWK Set, which is the same for thousands of tokens.
public_keys = lru_cache(jwt.PyJWKSet.from_json)


class Token(NamedTuple):
    """A token that verifiers must accept until it expires, by the test's time."""

    kid: str
    expires: float


class HeldKeys(NamedTuple):
    """The key set of a verifier, and how long it may cache it."""

    kids: frozenset[str]
    until: float


class Server:
    """A server that may lose the store, or be stopped.

    Attributes:
        ahead: By how much its clock is ahead.
        is_suspended: Whether its machine is suspended, so that nothing runs and the monotonic clock stops.
        replica: None while it is stopped.
    """

    def __init__(self, directory: Path) -> None:
        self._store = open_store(directory / "tokend.db")
        self._store.migrate()
        self.ahead = 0.0
        self.clock = FakeClock(START)
        self.is_cut_off = False
        self.is_suspended = False
        self.replica: KeyReplica | None = None

    @property
    def is_ready(self) -> bool:
        return self.replica is not None and not self.is_cut_off and not self.is_suspended

    def pass_time(self, seconds: float) -> None:
        if self.is_suspended:
            self.clock.move_wall_clock(seconds)
        else:
            self.clock.advance(seconds)

    def start(self) -> None:
        """Starts the server, which requires the store."""
        self.is_suspended = False
        self.replica = None if self.is_cut_off else KeyReplica(self._store, self.clock, TIMES)

    def cut_off(self, *, is_cut_off: bool) -> None:
        self.is_cut_off = is_cut_off
        if self.replica:
            self.replica.store.failure = self.replica.store.refusal = DOWN if is_cut_off else None

    def set_clock(self, ahead: float) -> None:
        self.clock.move_wall_clock(ahead - self.ahead)
        self.ahead = ahead

    def close(self) -> None:
        self._store.close()


class Rotation(RuleBasedStateMachine):
    """Servers on one store, their tokens, and verifiers that cache keys as long as allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.servers = [Server(self.directory) for _ in range(SERVERS)]
        self.time = 0.0
        self.tokens: list[Token] = []
        self.held: list[HeldKeys] = []
        self.choose = random.Random(0)
        for server in self.servers:
            server.start()

    def teardown(self) -> None:
        try:
            self.recover()
        finally:
            for server in self.servers:
                server.close()
            shutil.rmtree(self.directory)

    def recover(self) -> None:
        """After all faults end, keys rotate."""
        for server in self.servers:
            server.cut_off(is_cut_off=False)
            server.is_suspended = False
            if server.replica is None:
                server.start()
        self.pass_time(150, random.Random(0))
        keys = self.keys_of(self.servers[0])
        newest = max(key.signs_from for key in keys)
        assert newest > START + self.time - 60 - 2 * 20
        assert len({key.generation for key in keys}) == len(keys) <= 6

    @staticmethod
    def keys_of(server: Server) -> Sequence[SigningKey]:
        assert server.replica
        return server.replica.store.signing_keys()

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        """A seed selects the events between two steps, so that there are many."""
        self.choose = random.Random(seed)

    @rule(ticks=st.integers(1, 30))
    def wait(self, ticks: int) -> None:
        self.pass_time(ticks, self.choose)

    @invariant()
    def go_on(self) -> None:
        self.pass_time(self.choose.randint(0, 12), self.choose)

    def pass_time(self, ticks: int, choose: random.Random) -> None:
        for _ in range(ticks):
            self.time += TICK
            for server in self.servers:
                server.pass_time(TICK)
            for server in choose.sample(self.servers, SERVERS):
                if server.replica and not server.is_suspended:
                    server.replica.task.run_due_steps()
                    self.sign(server, choose)
                    self.fetch(server, choose)
            self.tokens = [token for token in self.tokens if token.expires > self.now]
            self.held = [keys for keys in self.held if keys.until > self.time]
            self.check()

    @property
    def now(self) -> float:
        return START + self.time

    def sign(self, server: Server, choose: random.Random) -> None:
        """A server with the store always signs; another one may report that it cannot."""
        assert server.replica
        try:
            token, kid = server.replica.signed(choose.randint(1, TIMES.longest_token))
        except EngineUnavailable:
            assert not server.is_ready
            return
        key = public_keys(server.replica.signer.key_set().jwks.decode())[kid]
        expires = jwt.decode(token.reveal(), key, algorithms=["ES256"], options={"verify_exp": False})["exp"]
        self.tokens.append(Token(kid, expires))

    def fetch(self, server: Server, choose: random.Random) -> None:
        assert server.replica
        if choose.random() < 1 / 4 and server.replica.max_age > 0:
            self.held.append(HeldKeys(frozenset(server.replica.published), self.time + server.replica.max_age))

    def check(self) -> None:
        """Verifiers accept the tokens, with their cached keys, and with those of ready servers."""
        needed = {token.kid for token in self.tokens}
        for server in self.servers:
            if server.is_ready and server.replica:
                assert needed <= set(server.replica.published)
        for keys in self.held:
            assert needed <= keys.kids

    @rule(number=servers)
    def lose(self, number: int) -> None:
        self.servers[number].replica = None

    @rule(number=servers)
    def restart(self, number: int) -> None:
        self.servers[number].start()

    @rule(number=servers, is_cut_off=st.booleans())
    def cut_off(self, number: int, *, is_cut_off: bool) -> None:
        self.servers[number].cut_off(is_cut_off=is_cut_off)

    @rule(number=servers)
    def suspend(self, number: int) -> None:
        self.servers[number].is_suspended = True

    @rule(number=servers)
    def resume(self, number: int) -> None:
        """The server responds before it has read the keys again."""
        server = self.servers[number]
        if server.replica and server.is_suspended:
            self.sign(server, self.choose)
            self.fetch(server, self.choose)
        server.is_suspended = False

    @rule(number=servers, ahead=st.integers(-10, 10))
    def set_clock(self, number: int, ahead: int) -> None:
        """Sets a clock forward or back, within the allowed difference."""
        self.servers[number].set_clock(ahead)

    @rule(number=servers)
    def rotate(self, number: int) -> None:
        """An operator rotates a key, on a machine with another clock."""
        server = self.servers[number]
        if server.is_ready and server.replica:
            step = next_key(self.keys_of(server), ES256, TIMES, server.clock.now())
            if step.action is Action.ADD:
                server.replica.rotation.take(step)

    @rule(number=servers, generation=st.integers(1, 20))
    def remove(self, number: int, generation: int) -> None:
        """An operator tries to remove a key."""
        server = self.servers[number]
        if server.is_ready and server.replica:
            for key in self.keys_of(server):
                if key.generation == generation:
                    with suppress(KeyInUse, KeyNotFound):
                        server.replica.rotation.remove(key.kid, compromised=False)


Rotation.TestCase.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRotation = Rotation.TestCase
TestRotation.pytestmark = [pytest.mark.timeout(_TIMEOUT)]  # type: ignore[attr-defined] # as pytest reads it
