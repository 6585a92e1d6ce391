import pytest
from tests.contracts.key_rotation_contract import KeyRotationContract
from tests.contracts.key_store_contract import KeyStoreContract
from tests.contracts.store_contract import StoreContract
from tests.support.postgresql import PostgresqlServer


class TestPostgresqlStore(StoreContract, KeyStoreContract, KeyRotationContract):
    @pytest.fixture
    def url(self, postgresql: PostgresqlServer) -> str:
        return postgresql.new_schema()
