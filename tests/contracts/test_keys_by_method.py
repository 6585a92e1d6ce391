import pytest
from tests.contracts.key_manager_contract import KeyManagerContract

from tokend_server.engines.local.keys.opening import CLEAR, KeysByMethod
from tokend_server.engines.local.keys.stored_keys import StoredKeys


class TestKeysByMethod(KeyManagerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def managers(cls) -> tuple[KeysByMethod, KeysByMethod]:
        return _in_clear(), _in_clear()


def _in_clear() -> KeysByMethod:
    return KeysByMethod(StoredKeys(), {CLEAR: StoredKeys()})
