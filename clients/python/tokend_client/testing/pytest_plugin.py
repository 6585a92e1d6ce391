"""Fixtures of pytest for code that calls Cognito with an AWS SDK.

Enable them with `pytest_plugins = ["tokend_client.testing.pytest_plugin"]` in conftest.py.
"""

from collections.abc import Iterator

import pytest

from tokend_client.testing.cognito_identity import CognitoIdentityServer


@pytest.fixture(scope="session")
def cognito_identity_server() -> Iterator[CognitoIdentityServer]:
    """A `CognitoIdentity` for the whole run, or for each worker of the run."""
    with CognitoIdentityServer() as server:
        yield server


@pytest.fixture
def cognito_identity_environment(
    cognito_identity_server: CognitoIdentityServer, monkeypatch: pytest.MonkeyPatch
) -> CognitoIdentityServer:
    """The same, with its variables in the test's environment, so that clients of the code under test use it."""
    for name in cognito_identity_server.in_the_way:
        monkeypatch.delenv(name, raising=False)
    for name, value in cognito_identity_server.environment.items():
        monkeypatch.setenv(name, value)
    return cognito_identity_server
