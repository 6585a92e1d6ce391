"""Keys of other processes are loaded. After a failed read, the previous keys stay in use."""

import logging

import pytest
from tests.support.failing_store import FailingStore
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.refresh import KeyRefresh
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.errors import EngineUnavailable


def test_a_check_of_the_backend_reads_no_keys(local: LocalEngineUnderTest) -> None:
    before = local.signer.key_set()
    KeyRotation(local.store, StoredKeys(), local.clock, KeyTimes()).add(SigningAlgorithm.ES256, signs_in=0)
    local.backend.check()
    assert local.signer.key_set() == before


def test_keys_that_cannot_be_read_leave_the_last_ones_in_use(
    local: LocalEngineUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    store, failed = FailingStore(local.store), list[None]()
    signer = TokenSigner(store, StoredKeys(), local.clock, KeyTimes())
    signer.refresh()
    published, refresh = signer.key_set(), KeyRefresh(signer, lambda: failed.append(None))
    refresh.check()
    caplog.set_level(logging.INFO)
    for store.failure in (EngineUnavailable("It does not answer."), ValueError("no key")):
        assert not refresh.refresh()
        assert len(caplog.records) == 1  # of the first one
        for _ in range(2):
            with pytest.raises(type(store.failure), match=str(store.failure)):
                refresh.check()
        assert signer.key_set() == published
    store.failure = None
    assert refresh.refresh()
    refresh.check()
    assert len(failed) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "signing keys cannot be read; those of the last read stay in use",
        "signing keys can be read again",
    ]
