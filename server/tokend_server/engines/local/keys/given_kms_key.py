"""A key that is in KMS already, and that an operator has tokend sign with."""

from collections.abc import Iterator, Mapping
from typing import Any

from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.kms_key import KmsKey
from tokend_server.engines.local.keys.kms_keys import KEY_SPECS, KEY_USAGE, KmsKeys
from tokend_server.errors import ConfigError
from tokend_server.model import Secret


class GivenKmsKey:
    """The `KeyManager` whose one new key is the given one; nothing is ever done to it but sign.

    Args:
        keys: What opens it.
        key_id: Its ARN, its id, or an alias of it, which is looked up once.
    """

    def __init__(self, keys: KmsKeys, key_id: str) -> None:
        self._keys = keys
        self._key_id = key_id

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        """The key, once it has signed.

        Raises:
            ConfigError: It cannot be a key of the algorithm; all that is wrong with it is named.
            EngineUnavailable: KMS does not answer.
            LastingError: KMS does not let it be used, until an operator acts.
        """
        del generation
        metadata = self._keys.describe(self._key_id)
        if problems := list(_problems(metadata, algorithm)):
            raise ConfigError([f"{self._key_id}: {problem}" for problem in problems])
        return self._keys.tried(metadata["Arn"], algorithm, is_ours=False)

    def open(self, key: SigningKey) -> KmsKey:
        return self._keys.open(key)

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        """It stays as it was given."""


def _problems(metadata: Mapping[str, Any], algorithm: SigningAlgorithm) -> Iterator[str]:
    """Why KMS's key cannot sign by the algorithm (API reference of DescribeKey, KeyMetadata)."""
    spec, usage, state = metadata.get("KeySpec"), metadata.get("KeyUsage"), metadata.get("KeyState")
    if spec != KEY_SPECS[algorithm]:
        yield f"its key spec is {spec}, and {algorithm.value} needs {KEY_SPECS[algorithm]}"
    if usage != KEY_USAGE:
        yield f"its key usage is {usage}, and signatures need {KEY_USAGE}"
    if state != "Enabled":
        yield f"its state is {state}: tokens that it is to sign would fail until it is enabled"
