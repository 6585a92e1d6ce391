"""Builds what makes and opens private keys from the configuration."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tokend_server.clock import Clock
from tokend_server.config import Config
from tokend_server.engines.local.keys.kms_material import METHOD as AWS_KMS
from tokend_server.engines.local.keys.late import LateKeys
from tokend_server.engines.local.keys.manager import KeyManager
from tokend_server.engines.local.keys.opening import CLEAR, KeysByMethod
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.metrics import Metrics


@contextmanager
def open_key_manager(config: Config, metrics: Metrics, clock: Clock) -> Iterator[KeyManager]:
    """The key manager for a block, at the end of which it gives up its connections.

    Args:
        config: The configuration.
        metrics: Where requests for keys that are elsewhere are counted.
        clock: The time.

    Raises:
        ConfigError: The settings of where new keys are cannot be used.
    """
    with ExitStack() as undo:

        def open_kms() -> KeyManager:
            from tokend_server.engines.local.keys.kms_build import open_kms_keys  # noqa: PLC0415 - loads boto3

            return undo.enter_context(open_kms_keys(config, metrics, clock))

        stored, kms = StoredKeys(), LateKeys(open_kms)
        makers: Mapping[str, KeyManager] = {"store": stored, "aws-kms": kms}
        if config.keys.signer == "aws-kms":
            kms.begun()
        yield KeysByMethod(makers[config.keys.signer], {CLEAR: stored, AWS_KMS: kms})
