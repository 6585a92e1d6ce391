"""Keys that are kept in several ways beside each other, as they are while an operator goes from one way to another."""

import re
from collections.abc import Mapping

import orjson
from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey, unusable
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import Secret

#: The method of a private key that its `material` holds in clear, as PEM.
CLEAR = "clear"

_PEM = "-----BEGIN "

#: What a method may be called, so that it can be repeated in a text.
_METHOD = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)


class KeysByMethod:
    """A `KeyManager` that leaves each key to the manager that the key's `material` names.

    Args:
        maker: Makes new keys.
        openers: What opens keys, by the `method_of` their `material`.
    """

    def __init__(self, maker: KeyManager, openers: Mapping[str, KeyManager]) -> None:
        self._maker = maker
        self._openers = openers

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        return self._maker.generate(algorithm, generation)

    def open(self, key: SigningKey) -> PrivateKey:
        method = method_of(key.material)
        if method in self._openers:
            return self._openers[method].open(key)
        raise not_opened(key)

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        if opener := self._openers.get(method_of(key.material)):
            opener.discard(key, was_kept=was_kept)


def method_of(material: Secret) -> str:
    """How a key is kept: `clear` for a PEM, else the member `method` of the JSON object that `material` is.

    It is empty for what is neither, and for a method that no release would name so.
    """
    text = material.reveal()
    if text.startswith(_PEM):
        return CLEAR
    try:
        document = orjson.loads(text)
    except ValueError:
        return ""
    method = document.get("method") if isinstance(document, dict) else None
    return method if isinstance(method, str) and _METHOD.fullmatch(method) and method != CLEAR else ""


def not_opened(key: SigningKey) -> EngineMisconfigured:
    """The error of a key whose method this process is not configured for."""
    error, method = unusable(key), method_of(key.material)
    if not method:
        return error
    error.advice = (
        "It is kept in clear, which keys.encryption.accept_clear = false refuses. If it is one of yours, set that to "
        "true until `tokend keys rewrap` has encrypted it; if it is none, remove it: others can write the store."
        if method == CLEAR
        else f"It is kept by the method {method}, for which this process is not configured: give [keys] here what the "
        "processes have that made the key."
    )
    return error
