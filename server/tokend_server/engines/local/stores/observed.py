"""A store that measures another one."""

from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

from tokend_server.clock import Clock, Deadline
from tokend_server.engine import BeforeChange, do_nothing
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.store import Change, KeptPool, Reading, Store
from tokend_server.metrics import Metrics
from tokend_server.model import Identity, Login, NumericDate, Secret
from tokend_server.prometheus_internals import observing

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ObservedStore:
    """A `Store` with metrics of its durations, whose changes are announced.

    Args:
        store: The store that is measured.
        metrics: The metrics of durations.
        clock: Measures durations.
        before_change: Called before each change of identities and of pools.
    """

    def __init__(self, store: Store, metrics: Metrics, clock: Clock, before_change: BeforeChange = do_nothing) -> None:
        self._store = store
        self._before_change = before_change
        self._clock = clock
        self._observe_seconds = {
            operation: observing(metrics.store_seconds.labels(operation))
            for operation in vars(ObservedStore)  # the series of all operations exist from the start
            if not operation.startswith("_")
        }

    def check(self) -> None:
        self._measured("check", self._store.check)

    def owners(
        self, identity_pool_id: str, logins: Iterable[Login], deadline: Deadline | None = None
    ) -> Sequence[str | None]:
        # As `_measured`, without the cost of passing arguments on: every call for a known user calls this method.
        started = self._clock.monotonic()
        try:
            return self._store.owners(identity_pool_id, logins, deadline)
        finally:
            self._observe_seconds["owners"](self._clock.monotonic() - started)

    def read(
        self,
        identity_pool_id: str,
        logins: Iterable[Login],
        identity_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Reading:
        return self._measured("read", self._store.read, identity_pool_id, logins, identity_id, deadline)

    def find(self, identity_id: str, deadline: Deadline | None = None) -> Identity | None:
        return self._measured("find", self._store.find, identity_id, deadline)

    def identities(
        self, identity_pool_id: str, *, max_results: int, after: str | None, hide_disabled: bool
    ) -> list[Identity]:
        return self._measured(
            "identities",
            self._store.identities,
            identity_pool_id,
            max_results=max_results,
            after=after,
            hide_disabled=hide_disabled,
        )

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        self._before_change()
        self._measured("commit", self._store.commit, *changes, deadline=deadline)

    def delete(self, identity_id: str) -> bool:
        self._before_change()
        return self._measured("delete", self._store.delete, identity_id)

    def kept_pools(self) -> Sequence[KeptPool]:
        return self._measured("kept_pools", self._store.kept_pools)

    def kept_pool(self, identity_pool_id: str, deadline: Deadline | None = None) -> KeptPool | None:
        return self._measured("kept_pool", self._store.kept_pool, identity_pool_id, deadline)

    def keep_pool(self, before: KeptPool | None, identity_pool_id: str, document: bytes) -> None:
        self._before_change()
        self._measured("keep_pool", self._store.keep_pool, before, identity_pool_id, document)

    def forget_pool(self, kept: KeptPool) -> None:
        self._measured("forget_pool", self._store.forget_pool, kept)

    def signing_keys(self) -> tuple[SigningKey, ...]:
        return self._measured("signing_keys", self._store.signing_keys)

    def add_signing_key(self, key: SigningKey) -> None:
        self._measured("add_signing_key", self._store.add_signing_key, key)

    def replace_material(self, key: SigningKey, material: Secret) -> None:
        self._measured("replace_material", self._store.replace_material, key, material)

    def replace_signs_from(self, key: SigningKey, signs_from: NumericDate) -> None:
        self._measured("replace_signs_from", self._store.replace_signs_from, key, signs_from)

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        self._measured("remove_signing_key", self._store.remove_signing_key, kid, check)

    def fetch_records(self) -> Sequence[FetchRecord]:
        return self._measured("fetch_records", self._store.fetch_records)

    def keep_fetch_record(self, record: FetchRecord) -> None:
        self._measured("keep_fetch_record", self._store.keep_fetch_record, record)

    def forget_fetch_records(self, before: NumericDate) -> None:
        self._measured("forget_fetch_records", self._store.forget_fetch_records, before)

    def _measured(
        self,
        operation: str,
        call: Callable[_Arguments, _Result],
        *arguments: _Arguments.args,
        **named: _Arguments.kwargs,
    ) -> _Result:
        started = self._clock.monotonic()
        try:
            return call(*arguments, **named)
        finally:
            self._observe_seconds[operation](self._clock.monotonic() - started)
