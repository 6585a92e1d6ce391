from pathlib import Path

import pytest
from tests.contracts.key_rotation_contract import KeyRotationContract
from tests.contracts.key_store_contract import KeyStoreContract
from tests.contracts.store_contract import StoreContract


class TestSqliteStore(StoreContract, KeyStoreContract, KeyRotationContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'tokend.db'}"
