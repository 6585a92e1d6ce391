import pytest
from tests.contracts.key_manager_contract import KeyManagerContract

from tokend_server.engines.local.keys.stored_keys import StoredKeys


class TestStoredKeys(KeyManagerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def managers(cls) -> tuple[StoredKeys, StoredKeys]:
        return StoredKeys(), StoredKeys()
