"""Services for tests, in their process or beside it. It needs the extra `tokend-client[testing]`."""

from tokend_client.testing.cognito_identity import CognitoIdentityServer
from tokend_client.testing.failures import Failure
from tokend_client.testing.server import FakeTokendServer
from tokend_client.testing.signer import FakeAlgorithm

__all__ = ["CognitoIdentityServer", "Failure", "FakeAlgorithm", "FakeTokendServer"]
