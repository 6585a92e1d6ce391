"""The real store, with failures when its keys are read or changed."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.store import Store
from tokend_server.model import NumericDate


class FailingStore:
    """A store.

    Attributes:
        failure: The error of reads.
        refusal: The error of changes.
        readings: The number of reads.
        changes: The number of attempted changes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failure: Exception | None = None
        self.refusal: Exception | None = None
        self.readings = threading.Semaphore(0)
        self.changes = 0

    def signing_keys(self) -> tuple[SigningKey, ...]:
        self.readings.release()
        if self.failure:
            raise self.failure
        return self._store.signing_keys()

    def add_signing_key(self, key: SigningKey) -> None:
        self._try_to_change()
        self._store.add_signing_key(key)

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        self._try_to_change()
        self._store.remove_signing_key(kid, check)

    def replace_signs_from(self, key: SigningKey, signs_from: NumericDate) -> None:
        self._try_to_change()
        self._store.replace_signs_from(key, signs_from)

    def fetch_records(self) -> Sequence[FetchRecord]:
        if self.failure:
            raise self.failure
        return self._store.fetch_records()

    def keep_fetch_record(self, record: FetchRecord) -> None:
        if self.refusal:
            raise self.refusal
        self._store.keep_fetch_record(record)

    def forget_fetch_records(self, before: NumericDate) -> None:
        if self.refusal:
            raise self.refusal
        self._store.forget_fetch_records(before)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._store, name)

    def _try_to_change(self) -> None:
        self.changes += 1
        if self.refusal:
            raise self.refusal
