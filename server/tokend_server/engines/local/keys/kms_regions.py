"""AWS KMS in each Region that has keys."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.kms_api import KmsApi
from tokend_server.token_bucket import TokenBucket


class KmsRegion(NamedTuple):
    """KMS in a Region, with rate limits that keep signatures below its quotas.

    KMS has separate quotas for signatures by RSA and by elliptic curve keys ("Request quotas", KMS developer guide).

    Attributes:
        api: Its calls.
        rsa_quota: The quota of signatures by RSA keys; None for no quota.
        ec_quota: The quota of signatures by elliptic curve keys; None for no quota.
    """

    api: KmsApi
    rsa_quota: TokenBucket | None
    ec_quota: TokenBucket | None

    def quota_of(self, algorithm: SigningAlgorithm) -> TokenBucket | None:
        """Returns the quota of signatures with an algorithm."""
        return self.ec_quota if algorithm is SigningAlgorithm.ES256 else self.rsa_quota


class KmsRegions:
    """Opens KMS in a Region with the Region's first key, without a request. It is thread-safe.

    Args:
        open_region: Opens KMS in a Region, or raises ValueError.
    """

    def __init__(self, open_region: Callable[[str], KmsRegion]) -> None:
        self._open_region = open_region
        self._lock = threading.Lock()
        self._opened: dict[str, KmsRegion] = {}
        self._undo = ExitStack()

    def of(self, name: str) -> KmsRegion:
        """Returns KMS in a Region.

        Raises:
            ValueError: There is no such Region, or the settings do not allow it.
        """
        with self._lock:
            if name not in self._opened:
                opened = self._opened[name] = self._open_region(name)
                self._undo.callback(opened.api.close)
            return self._opened[name]

    def close(self) -> None:
        """Closes the connections."""
        self._undo.close()
