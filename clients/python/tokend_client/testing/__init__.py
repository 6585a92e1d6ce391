"""Services for tests, in the test's process or in another one. Requires the extra `tokend-client[testing]`."""

from tokend_client.testing.cognito_identity import CognitoIdentityServer
from tokend_client.testing.failures import Failure
from tokend_client.testing.server import FakeTokendServer
from tokend_client.testing.signer import FakeAlgorithm

__all__ = ["CognitoIdentityServer", "Failure", "FakeAlgorithm", "FakeTokendServer"]
