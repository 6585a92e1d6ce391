from collections.abc import Iterator

import pytest
from tests.contracts.key_manager_contract import KeyManagerContract
from tests.support.kms import kms, kms_keys

from tokend_server.engines.local.keys.kms_keys import KmsKeys


class TestKmsKeys(KeyManagerContract):
    signs_elsewhere = True

    @pytest.fixture(scope="class")
    @classmethod
    def managers(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KmsKeys, KmsKeys]]:
        with (
            kms(tmp_path_factory.mktemp("kms")) as upstream,
            kms_keys(upstream) as one,
            kms_keys(upstream) as other,
        ):
            yield one, other
