"""The signing keys of one server, with a clock set by the test, on a store that several servers share."""

import json

from tests.fakes.clock import FakeClock
from tests.support.failing_store import FailingStore

from tokend_server.clock import Deadline
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.fetch_log import FetchLog
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import KeyManager
from tokend_server.engines.local.keys.refresh import KeyRefresh
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.signer import SignedToken, TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKey, StoredKeys
from tokend_server.engines.local.keys.task import KeyTask
from tokend_server.engines.local.keys.verifier_watch import VerifierWatch
from tokend_server.engines.local.store import Store
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Secret

ES256 = SigningAlgorithm.ES256


class Locked(StoredKeys):
    """Opens only the allowed keys; all keys, if none are set.

    Attributes:
        may_open: The `kid`s of the allowed keys.
        opened: The opened keys, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.may_open: frozenset[str] | None = None
        self.opened: list[str] = []

    def open(self, key: SigningKey) -> StoredKey:
        if self.may_open is not None and key.kid not in self.may_open:
            raise EngineUnavailable("The key is locked.")
        self.opened.append(key.kid)
        return super().open(key)


class KeyReplica:
    """The key management of one server.

    Args:
        store: The store.
        clock: Its clock.
        times: The times of keys.
        algorithms: The algorithms of its pools.
        manager: Creates and opens keys.
        name: Its name.

    Attributes:
        failures: The failed steps, in order.
        watch_failures: The failures concerning verifiers, in order.
    """

    def __init__(  # noqa: PLR0913 - what differs between servers
        self,
        store: Store,
        clock: FakeClock,
        times: KeyTimes,
        *,
        algorithms: frozenset[SigningAlgorithm] = frozenset({ES256}),
        manager: KeyManager | None = None,
        name: str = "",
    ) -> None:
        self.store = FailingStore(store)
        self.clock = clock
        self.failures: list[str] = []
        manager = manager or StoredKeys()
        self.signer = TokenSigner(self.store, manager, clock, times)
        self.refresh = KeyRefresh(self.signer, lambda: self.failures.append("read"))
        self.rotation = KeyRotation(self.store, manager, clock, times, algorithms)
        failed = self.failures.append
        self.watch_failures: list[str] = []
        self.fetches = FetchLog(clock, lambda: self.watch_failures.append("uncounted"))
        self.watch = VerifierWatch(
            name or f"server-{id(self)}",
            self.fetches,
            self.signer,
            self.store,
            algorithms,
            clock,
            times,
            self.watch_failures.append,
        )
        self.task = KeyTask(self.signer, self.refresh, self.rotation, self.watch, algorithms, clock, times, failed)
        self.watch.register()
        self.signer.ensure_keys(algorithms)
        self.store.changes = 0

    @property
    def published(self) -> list[str]:
        """Returns the published keys."""
        return [key["kid"] for key in json.loads(self.signer.key_set().jwks)["keys"]]

    @property
    def max_age(self) -> float:
        """Returns how long verifiers may cache the keys."""
        return self.signer.key_set().max_age.total_seconds()

    def fetched_by(self, user_agent: str, address: str = "192.0.2.1") -> frozenset[str]:
        """Fetches the keys as a verifier does, and returns their ids."""
        key_set = self.signer.key_set()
        self.fetches.note(key_set, address, user_agent.encode())
        return key_set.key_ids

    def sign(self, life: float = 900, algorithm: SigningAlgorithm = ES256) -> Secret:
        """Returns a token."""
        return self.signed(life, algorithm).token

    def signs_with(self, life: float = 900, algorithm: SigningAlgorithm = ES256) -> str:
        """Returns the key that signs."""
        return self.signed(life, algorithm).key_id

    def signed(self, life: float = 900, algorithm: SigningAlgorithm = ES256) -> SignedToken:
        """Returns a token and its signing key."""
        claims = {"exp": int(self.clock.now() + life)}
        return self.signer.sign(claims, algorithm, TokenType.JWS, Deadline(self.clock))

    def pass_time(self, seconds: float) -> None:
        """Advances the clock, and then runs the periodic step."""
        self.clock.advance(seconds)
        self.task.run_due_steps()

    def lose_store(self, failure: Exception) -> None:
        """Makes its store fail."""
        self.store.failure = self.store.refusal = failure

    def find_store(self) -> None:
        """Makes its store work again."""
        self.store.failure = self.store.refusal = None
        self.task.run_due_steps()
