"""A key manager that starts on first use."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.lazy import LazyKeys
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.stored_keys import StoredKeys


def test_the_manager_starts_once_on_the_first_key() -> None:
    begun: list[StoredKeys] = []

    def begin() -> StoredKeys:
        begun.append(StoredKeys())
        return begun[-1]

    made, at_once = new_signing_key(StoredKeys(), SigningAlgorithm.ES256, generation=1, created=1), Barrier(4)
    keys = LazyKeys(begin)
    assert begun == []

    def open_and_discard(_number: int) -> None:
        at_once.wait()
        assert keys.open(made).public_key.thumbprint() == made.kid
        keys.discard(made, was_kept=False)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(open_and_discard, range(4)))
    assert keys.generate(SigningAlgorithm.ES256, 1)
    assert begun == [keys.manager()]
