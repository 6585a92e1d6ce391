"""Builds the key manager from the configuration."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tokend_server.clock import Clock
from tokend_server.config import Config
from tokend_server.config.encryption import Encryption
from tokend_server.engines.local.keys.file_wrapping import FILE, FileWrapping
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.kms_material import METHOD as AWS_KMS
from tokend_server.engines.local.keys.kms_material import METHOD_OF_ENVELOPES as AWS_KMS_ENVELOPE
from tokend_server.engines.local.keys.lazy import LazyKeys
from tokend_server.engines.local.keys.manager import KeyManager
from tokend_server.engines.local.keys.opening import CLEAR, KeysByMethod, method_of
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.keys.wrapping import Clear, KeyWrapping, Wrappings
from tokend_server.engines.local.keys.wrapping_files import KeyFile, PassphraseFile, WrappingFile
from tokend_server.errors import ConfigError
from tokend_server.metrics import Metrics

_log = logging.getLogger(__name__)

#: The methods of keys whose `material` does not contain a private key.
METHODS_OUTSIDE_STORE = frozenset({AWS_KMS})


@contextmanager
def open_key_manager(config: Config, metrics: Metrics, clock: Clock) -> Iterator[KeyManager]:
    """Returns a context manager with the key manager, whose connections are closed at its end.

    Args:
        config: The configuration.
        metrics: The metrics of requests for keys outside the store.
        clock: The time.

    Raises:
        ConfigError: The settings of new keys, or of their encryption, cannot be used.
    """
    with ExitStack() as undo:

        def open_kms() -> KeyManager:
            from tokend_server.engines.local.keys.kms_build import open_kms_keys  # noqa: PLC0415 - loads boto3

            return undo.enter_context(open_kms_keys(config, metrics, clock))

        wrappings, kms = undo.enter_context(open_wrappings(config, metrics, clock)), LazyKeys(open_kms)
        openers: dict[str, KeyManager] = {
            **{method: StoredKeys(wrapping) for method, wrapping in wrappings.by_method.items()},
            AWS_KMS: kms,
        }
        makers: dict[str, KeyManager] = {"store": StoredKeys(wrappings.current), "aws-kms": kms}
        if config.keys.signer == "aws-kms":
            kms.manager()
        yield KeysByMethod(makers[config.keys.signer], openers)


@contextmanager
def open_wrappings(config: Config, metrics: Metrics, clock: Clock) -> Iterator[Wrappings]:
    """Returns a context manager with the ways in which private keys are stored.

    Args:
        config: The configuration.
        metrics: The metrics of requests for wrapping keys.
        clock: The time.

    Raises:
        ConfigError: The settings of their encryption cannot be used.
    """
    if problems := encryption_problems(config):
        raise ConfigError([*problems])
    settings = config.keys.encryption
    clear, files = Clear(), _files(settings)
    by_method: dict[str, KeyWrapping] = {FILE: files, **({CLEAR: clear} if settings.accept_clear else {})}
    current: dict[str, KeyWrapping] = {"none": clear, "file": files}
    with ExitStack() as undo:
        if settings.kms_key_ids:
            from tokend_server.engines.local.keys.kms_build import open_kms_wrapping  # noqa: PLC0415 - loads boto3

            kms = undo.enter_context(open_kms_wrapping(config, metrics, clock))
            by_method[AWS_KMS_ENVELOPE] = current["aws-kms"] = kms
        yield Wrappings(current[settings.method], by_method)


def warn_of_clear_keys(config: Config, keys: Iterable[SigningKey]) -> None:
    """Logs the keys in clear if all are configured to be encrypted, as before the first rewrap."""
    clear = [key.kid for key in keys if method_of(key.material) == CLEAR]
    if clear and config.keys.encryption.method != "none":
        _log.warning("signing keys are stored in clear: run `tokend keys rewrap`", extra={"keys": clear})


def encryption_problems(config: Config) -> Sequence[str]:
    """Returns the problems of the files that encrypt keys, as `setting: problem`."""
    return [f"keys.encryption: {problem}" for problem in _files(config.keys.encryption).check()]


def _files(settings: Encryption) -> FileWrapping:
    current: WrappingFile | None = None
    if settings.key_file:
        current = KeyFile(settings.key_file)
    elif settings.passphrase_file:
        current = _passphrase_file(settings.passphrase_file)
    previous: list[WrappingFile] = [
        *map(KeyFile, settings.previous_key_files),
        *map(_passphrase_file, settings.previous_passphrase_files),
    ]
    return FileWrapping(current, previous, os.urandom)


def _passphrase_file(path: Path) -> PassphraseFile:
    return PassphraseFile(path, os.urandom)
