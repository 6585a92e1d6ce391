"""Opens keys that are stored by different methods, as during a migration from one method to another."""

import re
from collections.abc import Mapping

import orjson
from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey, unusable
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import Secret

#: The method of a private key whose `material` is its PEM in clear.
CLEAR = "clear"

_PEM = "-----BEGIN "

#: The form of a method's name, which makes it safe to repeat in texts.
_METHOD = re.compile(r"[a-z][a-z0-9-]{0,40}", re.ASCII)


class KeysByMethod:
    """A `KeyManager` that delegates each key to the manager of its method.

    Args:
        maker: Creates new keys.
        openers: The managers that open keys, by the `method_of` their `material`.
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
        raise method_not_configured(key)

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        if opener := self._openers.get(method_of(key.material)):
            opener.discard(key, was_kept=was_kept)


def method_of(material: Secret) -> str:
    """Returns the method of a key: `clear` for a PEM, or the member `method` of the JSON object in `material`.

    It is empty for other data, and for invalid names of methods.
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


def method_not_configured(key: SigningKey) -> EngineMisconfigured:
    """Returns the error for a key whose method is not configured in this process."""
    error, method = unusable(key), method_of(key.material)
    if not method:
        return error
    return error.with_advice(
        "It is stored in clear, which keys.encryption.accept_clear = false refuses. If it is one of yours, set that to "
        "true until `tokend keys rewrap` has encrypted it; if not, remove it: others can write to the store."
        if method == CLEAR
        else f"It is stored by the method {method}, which is not configured in this process: use the [keys] settings "
        "of the processes that created the key."
    )
