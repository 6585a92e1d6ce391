from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.contracts.key_rotation_contract import KeyRotationContract
from tests.contracts.key_store_contract import KeyStoreContract
from tests.contracts.store_contract import StoreContract
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.dynamodb import PATIENT, dynoxide, moto, table_name, table_url


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture(scope="module")
def dynoxide_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dynoxide(tmp_path_factory.mktemp("dynoxide")) as url:
        yield url


class TestDynamoDbStoreOnMoto(StoreContract, KeyStoreContract, KeyRotationContract):
    @pytest.fixture
    def url(self, moto_url: str) -> str:
        return table_url(moto_url, table_name(), **PATIENT)


@pytest.mark.timeout(BUILD_TIMEOUT)
class TestDynamoDbStoreOnDynoxide(StoreContract, KeyStoreContract, KeyRotationContract):
    @pytest.fixture
    def url(self, dynoxide_url: str) -> str:
        return table_url(dynoxide_url, table_name(), **PATIENT)
