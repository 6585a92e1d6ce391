"""AWS KMS in each region that keys are in."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.kms_api import KmsApi
from tokend_server.token_bucket import TokenBucket


class KmsRegion(NamedTuple):
    """KMS in a region, and what keeps signatures there below its quotas.

    KMS counts signatures by RSA keys and those by elliptic curve keys apart ("Request quotas", KMS developer guide).

    Attributes:
        api: Its calls.
        rsa_quota: What signatures by RSA keys take from; None for nothing.
        ec_quota: What those by elliptic curve keys take from.
    """

    api: KmsApi
    rsa_quota: TokenBucket | None
    ec_quota: TokenBucket | None

    def quota_of(self, algorithm: SigningAlgorithm) -> TokenBucket | None:
        """What signatures by an algorithm take from."""
        return self.ec_quota if algorithm is SigningAlgorithm.ES256 else self.rsa_quota


class KmsRegions:
    """Opens KMS in a region when the first key of it is; nothing is sent by that. It may be used from many threads.

    Args:
        open_region: Opens it, or raises ValueError.
    """

    def __init__(self, open_region: Callable[[str], KmsRegion]) -> None:
        self._open_region = open_region
        self._lock = threading.Lock()
        self._opened: dict[str, KmsRegion] = {}
        self._undo = ExitStack()

    def of(self, name: str) -> KmsRegion:
        """KMS in a region.

        Raises:
            ValueError: There is none of that name, or the settings do not lead to it.
        """
        with self._lock:
            if name not in self._opened:
                opened = self._opened[name] = self._open_region(name)
                self._undo.callback(opened.api.close)
            return self._opened[name]

    def close(self) -> None:
        """Closes the connections."""
        self._undo.close()
