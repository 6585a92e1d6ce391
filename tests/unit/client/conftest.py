"""Fixtures that tests of tokendctl share."""

from collections.abc import Iterator

import pytest
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService, serving


@pytest.fixture
def service() -> Iterator[FakeDeveloperIdentityService]:
    with serving() as fake:
        yield fake
