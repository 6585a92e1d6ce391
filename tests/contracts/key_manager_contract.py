"""The contract of key managers: a test suite that runs for each of them."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar

import jwt
import pytest
from tests.fakes.clock import FakeClock

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.jws import JwsSigner, TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey, new_signing_key
from tokend_server.errors import DeadlineExceeded, EngineMisconfigured
from tokend_server.model import Secret

#: The longest possible token has a few KB; KMS accepts 4,096 bytes of a message that is not hashed.
LENGTHS = (1, 64, 4096, 4097, 50_000)

#: The members of a public key in its thumbprint (RFC 7638, section 3.2).
MEMBERS: Mapping[SigningAlgorithm, tuple[str, ...]] = {
    SigningAlgorithm.RS512: ("e", "kty", "n"),
    SigningAlgorithm.RS256: ("e", "kty", "n"),
    SigningAlgorithm.ES256: ("crv", "kty", "x", "y"),
}

#: The length of a JWS signature in octets.
OCTETS: Mapping[SigningAlgorithm, int] = {
    SigningAlgorithm.RS512: 256,
    SigningAlgorithm.RS256: 256,
    SigningAlgorithm.ES256: 64,
}

every_algorithm = pytest.mark.parametrize("algorithm", SigningAlgorithm)


class KeyManagerContract:
    """The suite. The test of a manager provides a fixture with two instances, like those of two processes."""

    #: Whether another process signs, so that the caller's deadline may end first.
    signs_elsewhere: ClassVar[bool] = False

    @pytest.fixture(scope="class")
    @classmethod
    def managers(cls) -> Iterator[tuple[KeyManager, KeyManager]]:
        raise NotImplementedError

    @pytest.fixture
    def manager(self, managers: tuple[KeyManager, KeyManager]) -> KeyManager:
        return managers[0]

    @pytest.fixture
    def other(self, managers: tuple[KeyManager, KeyManager]) -> KeyManager:
        return managers[1]

    @pytest.fixture(scope="class")
    @classmethod
    def records(cls, managers: tuple[KeyManager, KeyManager]) -> Mapping[SigningAlgorithm, SigningKey]:
        """A key of each algorithm, created by the first instance."""
        return {each: new_signing_key(managers[0], each, generation=3, created=5) for each in SigningAlgorithm}

    @pytest.fixture(scope="class")
    @classmethod
    def another_record(cls, managers: tuple[KeyManager, KeyManager]) -> SigningKey:
        return new_signing_key(managers[0], SigningAlgorithm.ES256, generation=4, created=5)

    @pytest.fixture
    def record(self, records: Mapping[SigningAlgorithm, SigningKey], algorithm: SigningAlgorithm) -> SigningKey:
        return records[algorithm]

    @every_algorithm
    def test_a_new_key_has_the_form_of_its_algorithm(self, manager: KeyManager, record: SigningKey) -> None:
        members = manager.open(record).public_key.as_dict()
        assert members.keys() - {"kid"} == set(MEMBERS[record.algorithm])
        if record.algorithm is SigningAlgorithm.ES256:
            assert (members["kty"], members["crv"]) == ("EC", "P-256")
        else:
            assert (members["kty"], members["e"]) == ("RSA", "AQAB")
            assert len(jwt.utils.base64url_decode(str(members["n"]))) == 256

    @every_algorithm
    def test_a_key_is_named_by_the_thumbprint_of_its_public_part(self, manager: KeyManager, record: SigningKey) -> None:
        members = manager.open(record).public_key.as_dict()
        named = json.dumps({name: members[name] for name in MEMBERS[record.algorithm]}, separators=(",", ":"))
        digest = hashlib.sha256(named.encode()).digest()
        assert record.kid == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def test_no_two_keys_are_the_same(
        self, manager: KeyManager, other: KeyManager, records: Mapping[SigningAlgorithm, SigningKey]
    ) -> None:
        again = new_signing_key(other, SigningAlgorithm.ES256, generation=3, created=5)
        second = new_signing_key(manager, SigningAlgorithm.ES256, generation=3, created=5)
        assert len({each.kid for each in (*records.values(), again, second)}) == 5

    @every_algorithm
    @pytest.mark.parametrize("length", LENGTHS)
    def test_signatures_verify_with_another_library(
        self, manager: KeyManager, record: SigningKey, length: int, forever: Deadline
    ) -> None:
        key, data = manager.open(record), b"x" * length
        signature = key.sign(data, forever)
        assert len(signature) == OCTETS[record.algorithm]
        assert verifies(key, record.algorithm, data, signature)
        assert not verifies(key, record.algorithm, data + b"y", signature)

    @every_algorithm
    def test_a_token_verifies_with_another_library(
        self, manager: KeyManager, record: SigningKey, forever: Deadline
    ) -> None:
        key = manager.open(record)
        token = JwsSigner(record, key).sign({"sub": "a"}, TokenType.JWS, forever).reveal()
        public = jwt.PyJWK({**key.public_key.as_dict(), "alg": record.algorithm.value})
        assert jwt.decode_complete(token, public, algorithms=[record.algorithm.value])["payload"] == {"sub": "a"}

    @every_algorithm
    def test_a_record_is_opened_by_every_process(
        self, manager: KeyManager, other: KeyManager, record: SigningKey, forever: Deadline
    ) -> None:
        read = replace(record, material=Secret(record.material.reveal()))
        theirs, ours = other.open(read), manager.open(record)
        assert theirs.public_key.as_dict() == ours.public_key.as_dict()
        assert verifies(ours, record.algorithm, b"data", theirs.sign(b"data", forever))

    @every_algorithm
    @pytest.mark.parametrize("damage", ["empty", "cut", "text", "JSON", "list", "unknown method", "of another key"])
    def test_the_error_of_a_damaged_record_names_the_key(
        self,
        manager: KeyManager,
        records: Mapping[SigningAlgorithm, SigningKey],
        record: SigningKey,
        another_record: SigningKey,
        damage: str,
    ) -> None:
        material = record.material.reveal()
        damaged = {
            "empty": "",
            "cut": material[: len(material) // 2],
            "text": "no key",
            "JSON": "{}",
            "list": "[1]",
            "unknown method": '{"method": "another"}',
            "of another key": another_record.material.reveal(),
        }[damage]
        with pytest.raises(EngineMisconfigured) as raised:
            manager.open(replace(record, material=Secret(damaged)))
        assert record.kid in raised.value.text
        assert raised.value.advice
        assert raised.value.__cause__ is None
        assert not damaged or damaged not in f"{raised.value} {raised.value.advice}"
        assert records[record.algorithm] == record

    def test_a_key_of_another_algorithm_is_refused(
        self, manager: KeyManager, records: Mapping[SigningAlgorithm, SigningKey]
    ) -> None:
        for algorithm, other in (("ES256", "RS256"), ("RS256", "ES256"), ("RS512", "ES256")):
            mistaken = replace(records[SigningAlgorithm(algorithm)], algorithm=SigningAlgorithm(other))
            with pytest.raises(EngineMisconfigured):
                manager.open(mistaken)

    @every_algorithm
    def test_representations_contain_no_secret(self, manager: KeyManager, record: SigningKey) -> None:
        shown = f"{record!r} {record} {manager!r} {manager.open(record)!r}"
        assert record.material.reveal() not in shown
        assert "PRIVATE" not in shown

    @every_algorithm
    def test_many_threads_sign_with_one_key(self, manager: KeyManager, record: SigningKey, forever: Deadline) -> None:
        key = manager.open(record)
        with ThreadPoolExecutor(8) as threads:
            signatures = list(threads.map(lambda number: key.sign(b"%d" % number, forever), range(24)))
        assert all(
            verifies(key, record.algorithm, b"%d" % number, signature) for number, signature in enumerate(signatures)
        )

    @every_algorithm
    def test_an_expired_deadline_fails_remote_signing_and_not_local_signing(
        self, manager: KeyManager, record: SigningKey
    ) -> None:
        key, spent = manager.open(record), Deadline(FakeClock(), expires_at=-1.0)
        if self.signs_elsewhere:
            with pytest.raises(DeadlineExceeded):
                key.sign(b"data", spent)
        else:
            assert verifies(key, record.algorithm, b"data", key.sign(b"data", spent))

    @every_algorithm
    def test_a_key_that_signs_passes_a_check(self, manager: KeyManager, record: SigningKey) -> None:
        manager.open(record).check()

    @pytest.mark.parametrize("was_kept", [True, False])
    def test_discard_succeeds_with_any_material_and_repeatedly(self, manager: KeyManager, *, was_kept: bool) -> None:
        discarded = new_signing_key(manager, SigningAlgorithm.ES256, generation=5, created=5)
        for material in (discarded.material, Secret(""), Secret('{"method": "another"}'), discarded.material):
            manager.discard(replace(discarded, material=material), was_kept=was_kept)

    @pytest.fixture
    def forever(self) -> Deadline:
        return Deadline(FakeClock())


def verifies(key: PrivateKey, algorithm: SigningAlgorithm, data: bytes, signature: bytes) -> bool:
    """Returns whether PyJWT accepts a JWS signature."""
    checker: Any = jwt.get_algorithm_by_name(algorithm.value)
    return bool(checker.verify(data, checker.from_jwk(key.public_key.as_dict()), signature))
