"""Private keys that are encrypted with data keys of AWS KMS (envelope encryption).

KMS binds a data key to the encryption context: the key's id and its algorithm. CloudTrail records it with each use.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from pydantic import Field

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.kms_api import CiphertextRejected, EncryptedWithOtherKey, KmsApi, Response
from tokend_server.engines.local.keys.kms_fault_rows import ROWS
from tokend_server.engines.local.keys.kms_material import KEY_ARN, METHOD_OF_ENVELOPES
from tokend_server.engines.local.keys.manager import unusable
from tokend_server.engines.local.keys.sealed import (
    NONCE_BYTES,
    Base64,
    Material,
    RandomBytes,
    WrappingKey,
    associated_data,
    read_material,
)
from tokend_server.key_files import KEY_BYTES
from tokend_server.model import Secret

#: A KMS key, by its ARN, its id or an alias, and KMS in its Region.
KmsWrappingKey: TypeAlias = tuple[str, KmsApi]


class EnvelopeMaterial(Material):
    """The `material` of a key with envelope encryption by KMS.

    Attributes:
        wrapping_key: The ARN of the KMS key.
        data_key: The encrypted data key.
    """

    method: Literal["aws-kms-envelope"] = METHOD_OF_ENVELOPES
    wrapping_key: str = Field(pattern=f"^{KEY_ARN.pattern}$")
    data_key: Base64 = Field(min_length=1, max_length=6144)


class KmsWrapping:
    """The `KeyWrapping` by AWS KMS.

    Args:
        current: The KMS key for new keys; None if KMS is only used to decrypt keys.
        previous: Further KMS keys, which only decrypt keys.
        random_bytes: Generates nonces.
    """

    def __init__(
        self, current: KmsWrappingKey | None, previous: Sequence[KmsWrappingKey], random_bytes: RandomBytes
    ) -> None:
        self._current = current
        self._keys = (*([current] if current else ()), *previous)
        self._random_bytes = random_bytes

    def wrap(self, kid: str, algorithm: SigningAlgorithm, private_key: Secret) -> Secret:
        key_id, api = self._current_key()
        request = {"KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": _context(kid, algorithm)}
        made = api.call("GenerateDataKey", request)
        data_key = _data_key(made)
        nonce = self._random_bytes(NONCE_BYTES)
        about = associated_data(METHOD_OF_ENVELOPES, kid, algorithm)
        return EnvelopeMaterial(
            wrapping_key=made["KeyId"],  # the ARN, however the key was named
            data_key=made["CiphertextBlob"],
            nonce=nonce,
            ciphertext=data_key.encrypt(private_key, nonce, about),
        ).serialized()

    def unwrap(self, key: SigningKey) -> Secret:
        material = read_material(EnvelopeMaterial, key)
        context = _context(key.kid, key.algorithm)
        for key_id, api in self._candidates(material):
            # The request names the key: otherwise KMS would decrypt with any key that the credentials may use.
            request = {"CiphertextBlob": material.data_key, "KeyId": key_id, "EncryptionContext": context}
            try:
                data_key = _data_key(api.call("Decrypt", request))
            except EncryptedWithOtherKey:
                continue
            except CiphertextRejected:
                raise unusable(key) from None
            return data_key.decrypt(key, material)
        raise unusable(key).with_advice(
            f"It is encrypted by the KMS key {material.wrapping_key}, which is neither keys.encryption.kms_key_id nor "
            "among previous_kms_key_ids: add it to the latter."
        )

    def is_current(self, key: SigningKey) -> bool:
        key_id, api = self._current_key()
        wrapping_key = read_material(EnvelopeMaterial, key).wrapping_key
        if key_id == wrapping_key:
            return True
        described: str = api.call("DescribeKey", {"KeyId": key_id})["KeyMetadata"]["Arn"]
        return described == wrapping_key

    def _current_key(self) -> KmsWrappingKey:
        if self._current is None:
            raise AssertionError("no KMS key is configured for new keys")
        return self._current

    def _candidates(self, material: EnvelopeMaterial) -> Iterator[KmsWrappingKey]:
        """Yields the keys that may have encrypted a data key: the one with its ARN, or those with other names."""
        exact = [each for each in self._keys if each[0] == material.wrapping_key]
        yield from exact or (each for each in self._keys if not KEY_ARN.fullmatch(each[0]))


def _data_key(response: Response) -> WrappingKey:
    """Returns the data key in a response of GenerateDataKey or Decrypt.

    Raises:
        EngineMisconfigured: The response is not from KMS.
    """
    key = response.get("Plaintext")
    is_kms = isinstance(response.get("KeyId"), str) and KEY_ARN.fullmatch(response["KeyId"])
    if not is_kms or not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise ROWS.not_service.to_error()
    return WrappingKey(key)


def _context(kid: str, algorithm: SigningAlgorithm) -> Mapping[str, str]:
    return {"tokend:use": "signing key", "tokend:kid": kid, "tokend:algorithm": algorithm.value}
