"""An existing key in KMS, with which an operator lets tokend sign."""

from collections.abc import Iterator, Mapping
from typing import Any

from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.kms_key import KmsKey
from tokend_server.engines.local.keys.kms_keys import KEY_SPECS, KEY_USAGE, KmsKeys
from tokend_server.errors import ConfigError
from tokend_server.model import Secret


class GivenKmsKey:
    """The `KeyManager` whose only new key is the given one, which it uses but never manages.

    Args:
        keys: Opens the key.
        key_id: Its ARN, its id, or an alias, which is resolved once.
    """

    def __init__(self, keys: KmsKeys, key_id: str) -> None:
        self._keys = keys
        self._key_id = key_id

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        """Returns the key after a test signature.

        Raises:
            ConfigError: It cannot be a key of the algorithm; the error lists all problems.
            EngineUnavailable: KMS does not answer.
            LastingError: KMS refuses the use of the key until an operator acts.
        """
        del generation
        metadata = self._keys.describe(self._key_id)
        if problems := list(_problems(metadata, algorithm)):
            raise ConfigError([f"{self._key_id}: {problem}" for problem in problems])
        return self._keys.tested_key(metadata["Arn"], algorithm, is_ours=False)

    def open(self, key: SigningKey) -> KmsKey:
        return self._keys.open(key)

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        """Does nothing: the key belongs to the operator."""


def _problems(metadata: Mapping[str, Any], algorithm: SigningAlgorithm) -> Iterator[str]:
    """Yields the reasons for which KMS's key cannot sign with the algorithm (API of DescribeKey, KeyMetadata)."""
    spec, usage, state = metadata.get("KeySpec"), metadata.get("KeyUsage"), metadata.get("KeyState")
    if spec != KEY_SPECS[algorithm]:
        yield f"its key spec is {spec}, and {algorithm.value} needs {KEY_SPECS[algorithm]}"
    if usage != KEY_USAGE:
        yield f"its key usage is {usage}, and signatures need {KEY_USAGE}"
    if state != "Enabled":
        yield f"its state is {state}: calls for tokens would fail until it is enabled"
