from collections.abc import Iterator

import pytest
from tests.fakes.cognito_script import Success
from tests.fakes.kms_upstream import KmsUpstream
from tests.support.kms import kms


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KmsUpstream]:
    with kms(tmp_path_factory.mktemp("kms")) as running:
        yield running


@pytest.fixture
def upstream(_running: KmsUpstream) -> Iterator[KmsUpstream]:
    """The same for all tests. After each test, it has its default responses again."""
    yield _running
    _running.release()
    _running.always(Success())
