"""A tokend service in the process of a test. It needs the extra `tokend-client[testing]`."""

from tokend_client.testing.failures import Failure
from tokend_client.testing.server import FakeTokendServer
from tokend_client.testing.signer import FakeAlgorithm

__all__ = ["Failure", "FakeAlgorithm", "FakeTokendServer"]
