"""Builds what makes and opens private keys from the configuration."""

from collections.abc import Iterator
from contextlib import contextmanager

from tokend_server.config import Config
from tokend_server.engines.local.keys.manager import KeyManager
from tokend_server.engines.local.keys.opening import CLEAR, KeysByMethod
from tokend_server.engines.local.keys.stored_keys import StoredKeys


@contextmanager
def open_key_manager(config: Config) -> Iterator[KeyManager]:
    """The key manager for a block, at the end of which it gives up its connections."""
    del config
    stored = StoredKeys()
    yield KeysByMethod(stored, {CLEAR: stored})
