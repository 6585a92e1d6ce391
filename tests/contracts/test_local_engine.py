from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.engine_contract import EngineContract, Subject
from tests.support.local_engine import DEVELOPER, POOL, LocalEngineUnderTest


class LocalSubject(Subject):
    identity_pool_id = POOL
    developer_provider_name = DEVELOPER
    unknown_identity_id = "eu-west-1:ffffffff"

    def __init__(self, under_test: LocalEngineUnderTest) -> None:
        self.engine = under_test.engine
        self._under_test = under_test

    def create_guest(self) -> str:
        return self._under_test.guest()


class TestLocalEngine(EngineContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        under_test = LocalEngineUnderTest(tmp_path)
        yield LocalSubject(under_test)
        under_test.close()
