"""Keys in KMS rotate automatically, across servers, and together with keys in the store."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import jwt
import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.kms_upstream import KmsUpstream
from tests.support.key_replica import KeyReplica
from tests.support.kms import kms_keys

from tokend_server.config import Config, KeyTimes
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.kms_keys import KmsKeys
from tokend_server.engines.local.keys.kms_material import METHOD, kms_key_arn
from tokend_server.engines.local.keys.opening import CLEAR, KeysByMethod
from tokend_server.engines.local.keys.plan import next_key
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.errors import EngineUnavailable

DAY, NOW, STEP = 86_400, 1_800_000_000, 1200
TIMES = KeyTimes(rotate_every=DAY)
ES256 = SigningAlgorithm.ES256
DOWN = EngineUnavailable("The store does not answer.")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_migrated_store(Config(data_dir=tmp_path))) as opened:
        yield opened


class Server(KeyReplica):
    """A server whose new keys are in the store, or in KMS."""

    def __init__(self, store: Store, clock: FakeClock, kms: KmsKeys, *, in_kms: bool) -> None:
        stored = StoredKeys()
        manager = KeysByMethod(kms if in_kms else stored, {CLEAR: stored, METHOD: kms})
        super().__init__(store, clock, TIMES, manager=manager)


def pass_days(servers: Sequence[Server], days: int) -> None:
    """Runs all servers repeatedly, and checks that valid tokens verify with the keys of each server."""
    tokens: list[tuple[str, float]] = []
    for step in range(days * DAY // STEP):
        for server in servers:
            server.pass_time(STEP)
        if step % 6 == 0:
            tokens = [(token, until) for token, until in tokens if until > servers[0].clock.now()]
            tokens += [(server.sign(life=4 * 3600).reveal(), server.clock.now() + 4 * 3600) for server in servers]
            for server in servers:
                keys = jwt.PyJWKSet.from_json(server.signer.key_set().jwks.decode())
                for token, _ in tokens:
                    kid = jwt.get_unverified_header(token)["kid"]
                    jwt.decode(token, keys[kid], algorithms=["ES256"], options={"verify_exp": False})


def test_keys_rotate_in_kms_and_move_from_the_store_to_kms_and_back(upstream: KmsUpstream, store: Store) -> None:
    before, sent = upstream.keys().keys(), len(upstream.requests)
    with ExitStack() as undo:
        clocks = [FakeClock(NOW + ahead) for ahead in (0, 120, -120)]
        managers = [
            undo.enter_context(kms_keys(upstream, clock, deletion_window_days=30, requests_per_second=0))
            for clock in clocks
        ]

        def started(*, in_kms: bool) -> list[Server]:
            pairs = zip(clocks, managers, strict=True)
            return [Server(store, clock, manager, in_kms=in_kms) for clock, manager in pairs]

        pass_days(started(in_kms=False), 1)
        pass_days(started(in_kms=True), 3)
        keys = store.signing_keys()
        in_kms = {arn for key in keys if (arn := kms_key_arn(key.material))}
        assert len(in_kms) == len(keys) >= 2  # the keys in the store have been removed
        pass_days(started(in_kms=False), 3)
    assert [kms_key_arn(key.material) for key in store.signing_keys()] == [None] * len(store.signing_keys())
    made = upstream.keys().keys() - before
    assert len(made) >= 3
    assert {upstream.keys()[arn].key_state for arn in made} == {"PendingDeletion"}
    asked = [request.body for request in upstream.requests[sent:] if request.operation == "ScheduleKeyDeletion"]
    assert [each["PendingWindowInDays"] for each in asked].count(30) >= 3


def test_while_the_store_fails_each_server_creates_one_key_in_kms(upstream: KmsUpstream, store: Store) -> None:
    before = upstream.keys().keys()
    with ExitStack() as undo:
        clocks = [FakeClock(NOW), FakeClock(NOW)]
        managers = [undo.enter_context(kms_keys(upstream, clock)) for clock in clocks]
        first, second = (Server(store, *parts, in_kms=True) for parts in zip(clocks, managers, strict=True))
        (signing,) = upstream.keys().keys() - before
        for server in (first, second):
            server.store.refusal = DOWN
            server.pass_time(DAY)
            for _ in range(30):
                server.pass_time(60)
            assert server.store.changes > 20
        made = upstream.keys().keys() - before - {signing}
        assert len(made) == 2
        for server in (first, second):
            server.store.refusal = None
            server.pass_time(60)
    kept = kms_key_arn(store.signing_keys()[-1].material)
    assert {arn: upstream.keys()[arn].key_state for arn in made} == {
        arn: "Enabled" if arn == kept else "PendingDeletion" for arn in made
    }
    added = store.signing_keys()[-1]
    assert added.creation_date == first.clock.now()
    assert added.signs_from == added.creation_date + TIMES.publish_before


class Silent:
    """A store whose responses to additions are lost.

    Args:
        store: The store.
        late: Whether a key is stored at the next addition, rather than at once.
    """

    def __init__(self, store: Store, *, late: bool) -> None:
        self._store = store
        self._late = late
        self._waiting: list[SigningKey] = []
        self.signing_keys = store.signing_keys
        self.replace_material = store.replace_material
        self.replace_signs_from = store.replace_signs_from
        self.remove_signing_key = store.remove_signing_key

    def add_signing_key(self, key: SigningKey) -> None:
        for each in (*self._waiting, *([] if self._late and not self._waiting else [key])):
            self._store.add_signing_key(each)
        self._waiting = [key]
        raise DOWN


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_a_kms_key_in_the_store_is_not_deleted_if_the_response_of_the_store_was_lost(
    upstream: KmsUpstream, store: Store, *, late: bool
) -> None:
    before = upstream.keys().keys()
    with kms_keys(upstream) as keys:
        rotation = KeyRotation(Silent(store, late=late), keys, FakeClock(NOW), TIMES)
        step = next_key((), ES256, TIMES, NOW)
        with pytest.raises(EngineUnavailable):
            rotation.take(step)
        with pytest.raises(StaleReading):
            rotation.take(step)
        rotation.discard_superseded(store.signing_keys())
    (made,) = upstream.keys().keys() - before
    assert upstream.keys()[made].key_state == "Enabled"
    assert [kms_key_arn(key.material) for key in store.signing_keys()] == [made]
