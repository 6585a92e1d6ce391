import json
from dataclasses import replace

import pytest
from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.opening import CLEAR, KeysByMethod, method_of
from tokend_server.engines.local.keys.stored_keys import StoredKey, StoredKeys
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import Secret

ES256 = SigningAlgorithm.ES256
SECRET = "hunter2"


class KeysInJson(StoredKeys):
    """A manager with another method, whose `material` contains the PEM in JSON."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._method = method

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        public_key, pem = super().generate(algorithm, generation)
        return public_key, Secret(json.dumps({"method": self._method, "pem": pem.reveal()}))

    def open(self, key: SigningKey) -> StoredKey:
        return super().open(replace(key, material=Secret(json.loads(key.material.reveal())["pem"])))


def made_by(manager: StoredKeys) -> SigningKey:
    return new_signing_key(manager, ES256, generation=1, created=1)


def test_keys_of_several_methods_sign_beside_each_other() -> None:
    clear, one, other = StoredKeys(), KeysInJson("one"), KeysInJson("other-2")
    keys = KeysByMethod(one, {CLEAR: clear, "one": one, "other-2": other})
    for made in map(made_by, (clear, one, other)):
        opened = keys.open(made)
        assert opened.public_key.thumbprint() == made.kid
        assert opened.sign(b"data", Deadline(SystemClock()))


def test_a_key_is_discarded_by_the_manager_that_its_material_names() -> None:
    discarded: list[tuple[str, bool]] = []

    class Noting(KeysInJson):
        def discard(self, key: SigningKey, *, was_kept: bool) -> None:
            discarded.append((key.kid, was_kept))

    noting, other = Noting("one"), KeysInJson("other")
    keys = KeysByMethod(other, {CLEAR: StoredKeys(), "one": noting, "other": other})
    first, second, third = map(made_by, (noting, other, KeysInJson("unknown")))
    for key in (first, second, third):
        keys.discard(key, was_kept=True)
    assert discarded == [(first.kid, True)]


def test_new_keys_are_of_the_method_that_is_configured() -> None:
    one = KeysInJson("one")
    made = new_signing_key(KeysByMethod(one, {CLEAR: StoredKeys(), "one": one}), ES256, generation=1, created=1)
    assert method_of(made.material) == "one"


def test_a_key_of_a_method_that_is_not_configured_is_named_with_the_method() -> None:
    made = made_by(KeysInJson("aws-kms"))
    with pytest.raises(EngineMisconfigured) as raised:
        KeysByMethod(StoredKeys(), {CLEAR: StoredKeys()}).open(made)
    assert made.kid in raised.value.text
    assert "It is stored by the method aws-kms" in raised.value.advice


def test_a_key_in_clear_is_rejected_if_not_accepted() -> None:
    made, one = made_by(StoredKeys()), KeysInJson("one")
    with pytest.raises(EngineMisconfigured) as raised:
        KeysByMethod(one, {"one": one}).open(made)
    assert made.kid in raised.value.text
    assert "It is stored in clear, which keys.encryption.accept_clear = false refuses." in raised.value.advice


@pytest.mark.parametrize(
    "material",
    [
        SECRET,
        "",
        "{",
        "[1]",
        "null",
        "{}",
        '{"method": 1}',
        '{"method": ""}',
        '{"method": "clear"}',
        f'{{"method": "{SECRET} in a text that is no name"}}',
        f'{{"method": "{41 * SECRET}"}}',
        "{" * 100_000,
    ],
)
def test_malformed_material_is_rejected_and_not_repeated(material: str) -> None:
    key = SigningKey("kid", ES256, 1, Secret(material), 1, 1)
    assert method_of(key.material) == ""
    with pytest.raises(EngineMisconfigured) as raised:
        KeysByMethod(StoredKeys(), {CLEAR: StoredKeys()}).open(key)
    assert raised.value.text == "The record of signing key kid cannot be used."
    assert SECRET not in f"{raised.value.text} {raised.value.advice} {raised.value!r}"
    assert raised.value.__context__ is None or SECRET not in repr(raised.value.__context__)
