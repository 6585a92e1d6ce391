"""If audit entries are required for all calls, deletions are recorded before they happen."""

import pytest
from prometheus_client import CollectorRegistry
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.engines.local.stores.observed import ObservedStore
from tokend_server.errors import AuditUnavailable
from tokend_server.metrics import Metrics


def test_an_identity_is_deleted_only_after_its_deletion_is_recorded(local: LocalEngineUnderTest) -> None:
    user = local.identity_of("alice")
    recorded: list[str] = []

    def refuse() -> None:
        raise AuditUnavailable("The record of the call cannot be written.")

    def record() -> None:
        recorded.append("intent")

    metrics = Metrics(CollectorRegistry())
    with pytest.raises(AuditUnavailable):
        ObservedStore(local.store, metrics, local.clock, refuse).delete(user)
    assert local.store.find(user)
    assert ObservedStore(local.store, metrics, local.clock, record).delete(user)
    assert (recorded, local.store.find(user)) == (["intent"], None)
