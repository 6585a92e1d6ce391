"""The creation of keys in KMS, and their lifecycle."""

import json
import logging
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_script import Success
from tests.fakes.kms_upstream import KmsUpstream, failure
from tests.support.kms import boto3_client, kms_keys
from tests.support.server_process import write_config
from tests.support.tokend import failed

from tokend_server import errors
from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config, Keys
from tokend_server.engines.local.keys.given_kms_key import GivenKmsKey
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.rotation import KeyExists, KeyRotation
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.opening import open_migrated_store

TIMES = Keys().times
ES256, RS256 = SigningAlgorithm.ES256, SigningAlgorithm.RS256


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_migrated_store(Config(data_dir=tmp_path))) as opened:
        yield opened


@pytest.fixture
def operator(upstream: KmsUpstream) -> Any:  # noqa: ANN401 - boto3's clients have no types
    return boto3_client(upstream)


def arn_of(material: str) -> str:
    arn: str = json.loads(material)["key_arn"]
    return arn


def test_a_new_key_has_its_key_spec_usage_description_and_tags(upstream: KmsUpstream, operator: Any) -> None:  # noqa: ANN401
    with kms_keys(upstream) as keys:
        made = new_signing_key(keys, RS256, generation=7, created=1)
    arn = arn_of(made.material.reveal())
    described = operator.describe_key(KeyId=arn)["KeyMetadata"]
    assert (described["KeySpec"], described["KeyUsage"]) == ("RSA_2048", "SIGN_VERIFY")
    assert described["Description"] == "tokend 127.0.0.1:8080: RS256 signing key, generation 7"
    tags = {tag["TagKey"]: tag["TagValue"] for tag in operator.list_resource_tags(KeyId=arn)["Tags"]}
    assert tags == {"tokend": "signing-key", "tokend:algorithm": "RS256", "tokend:generation": "7"}


def test_a_record_has_what_publishing_needs_and_no_secret(upstream: KmsUpstream, operator: Any) -> None:  # noqa: ANN401
    with kms_keys(upstream) as keys:
        made = new_signing_key(keys, ES256, generation=1, created=1)
        members = json.loads(made.material.reveal())
        before = len(upstream.requests)
        assert keys.open(made).public_key.thumbprint() == made.kid
        assert len(upstream.requests) == before
    assert members.keys() == {"method", "key_arn", "public_key", "made_by_tokend"}
    assert (members["method"], members["made_by_tokend"]) == ("aws-kms", True)
    assert b64decode(members["public_key"]) == operator.get_public_key(KeyId=members["key_arn"])["PublicKey"]


def test_the_key_policy_is_the_configured_one(upstream: KmsUpstream, operator: Any, tmp_path: Path) -> None:  # noqa: ANN401
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "kms:*"}]}
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    with kms_keys(upstream, key_policy_file=str(tmp_path / "policy.json")) as keys:
        made = new_signing_key(keys, ES256, generation=1, created=1)
    arn = arn_of(made.material.reveal())
    assert json.loads(operator.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]) == policy


def test_a_key_policy_that_cannot_be_read_is_a_fault_of_the_configuration(
    upstream: KmsUpstream, tmp_path: Path
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    (tmp_path / "text").write_text('{"Version": ', encoding="utf-8")
    (tmp_path / "list").write_text("[]", encoding="utf-8")
    config = write_config(tmp_path)
    for name in ("nothing", "binary", "text", "list"):
        path = tmp_path / name
        why = "No such file or directory" if name == "nothing" else "must contain a key policy, which is a JSON object"
        problem = f"keys.kms.key_policy_file: {path}: {why}"
        with (
            pytest.raises(errors.ConfigError, match=re.escape(problem)),
            kms_keys(upstream, key_policy_file=str(path)),
        ):
            pytest.fail("was opened")
        error = failed("check-config", "--config", str(config), TOKEND_KEYS_KMS_KEY_POLICY_FILE=str(path))
        assert error.startswith(f"configuration: {problem}")


def test_requests_for_a_new_key_are_retried_until_kms_is_consistent(upstream: KmsUpstream) -> None:
    pauses: list[float] = []
    with kms_keys(upstream) as keys:
        keys._sleep = pauses.append  # noqa: SLF001 - a process sleeps
        for code in ("NotFoundException", "AccessDeniedException"):
            upstream.script([Success(), failure(code), failure(code), Success(), failure(code), Success()])
            new_signing_key(keys, ES256, generation=1, created=1)
    assert pauses == [0.1, 0.2, 0.1] * 2


@pytest.mark.parametrize("fails_at", [1, 2], ids=["its public key is not had", "it does not sign"])
def test_a_new_key_that_cannot_be_used_is_not_left_over(upstream: KmsUpstream, fails_at: int) -> None:
    before = set(upstream.keys())
    with kms_keys(upstream) as keys:
        upstream.script([*(Success() for _ in range(fails_at)), failure("InvalidKeyUsageException")])
        with pytest.raises(errors.EngineMisconfigured):
            new_signing_key(keys, ES256, generation=1, created=1)
    (made,) = upstream.keys().keys() - before
    assert upstream.keys()[made].key_state == "PendingDeletion"


def test_a_key_left_in_kms_is_logged(upstream: KmsUpstream, caplog: pytest.LogCaptureFixture) -> None:
    before = set(upstream.keys())
    with kms_keys(upstream) as keys:
        upstream.script([Success(), failure("InvalidKeyUsageException"), failure("AccessDeniedException")])
        with pytest.raises(errors.EngineMisconfigured):
            new_signing_key(keys, ES256, generation=1, created=1)
    (made,) = upstream.keys().keys() - before
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.message == "an unused signing key is left in AWS KMS"
    assert made == record.__dict__["kms_key"]


def test_key_creation_pauses_after_a_new_key_was_discarded(upstream: KmsUpstream) -> None:
    clock, before = FakeClock(), set(upstream.keys())
    with kms_keys(upstream, clock) as keys:
        upstream.script([Success(), failure("InvalidKeyUsageException")])
        for _ in range(3):
            with pytest.raises(errors.EngineMisconfigured):
                new_signing_key(keys, ES256, generation=1, created=1)
        assert len(upstream.keys().keys() - before) == 1
        clock.advance(300)
        new_signing_key(keys, ES256, generation=1, created=1)


class LateStore:
    """A store where another process has committed first."""

    def __init__(self, store: Store) -> None:
        self.signing_keys = store.signing_keys

    def add_signing_key(self, _key: object) -> None:
        raise StaleReading

    def remove_signing_key(self, *_: object) -> None:
        raise NotImplementedError

    def replace_material(self, *_: object) -> None:
        raise NotImplementedError

    def replace_signs_from(self, *_: object) -> None:
        raise NotImplementedError


def test_the_key_of_a_slower_process_is_discarded(upstream: KmsUpstream, store: Store) -> None:
    before = set(upstream.keys())
    with kms_keys(upstream) as keys:
        with pytest.raises(StaleReading):
            KeyRotation(LateStore(store), keys, SystemClock(), TIMES).add(ES256, signs_in=0)
        TokenSigner(LateStore(store), keys, SystemClock(), TIMES).ensure_keys(frozenset({ES256}))
    made = upstream.keys().keys() - before
    assert [upstream.keys()[each].key_state for each in made] == ["PendingDeletion"] * 2


class Unreachable(LateStore):
    def add_signing_key(self, _key: object) -> None:
        raise errors.EngineUnavailable("The store does not answer.")


def test_a_key_is_not_deleted_if_the_store_may_contain_it(upstream: KmsUpstream, store: Store) -> None:
    before = set(upstream.keys())
    with kms_keys(upstream) as keys, pytest.raises(errors.EngineUnavailable):
        KeyRotation(Unreachable(store), keys, SystemClock(), TIMES).add(ES256, signs_in=0)
    (made,) = upstream.keys().keys() - before
    assert upstream.keys()[made].key_state == "Enabled"


def test_settings_that_cannot_create_a_client_for_a_key_are_reported(
    upstream: KmsUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    with kms_keys(upstream) as keys:
        key = new_signing_key(keys, ES256, generation=1, created=1)
    with kms_keys(upstream, region=None, profile="absent", deletion_window_days=7) as keys:
        with pytest.raises(errors.EngineMisconfigured, match="cannot be called") as refused:
            keys.open(key)
        keys.discard(key, was_kept=True)
    problem = "keys.kms: The config profile (absent) could not be found."
    assert refused.value.advice == f"{problem} The key is {arn_of(key.material.reveal())}."
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.message == "an unused signing key is left in AWS KMS"
    assert record.__dict__["advice"].startswith(problem)


@pytest.mark.parametrize(("settings", "state"), [({}, "Enabled"), ({"deletion_window_days": 9}, "PendingDeletion")])
def test_a_removed_key_is_deleted_in_kms_only_with_a_deletion_window(
    upstream: KmsUpstream, store: Store, settings: dict[str, Any], state: str
) -> None:
    with kms_keys(upstream, **settings) as keys:
        rotation = KeyRotation(store, keys, SystemClock(), TIMES)
        rotation.add(ES256, signs_in=0)
        overtaken = rotation.add(ES256, signs_in=30 * 86_400)
        rotation.remove(overtaken.kid, compromised=False)
    asked = upstream.requests[-1].body
    assert upstream.keys()[arn_of(overtaken.material.reveal())].key_state == state
    assert asked.get("PendingWindowInDays") == settings.get("deletion_window_days")


class TestGivenKey:
    """A key that an operator has created."""

    @pytest.fixture
    def given(self, operator: Any) -> str:  # noqa: ANN401
        arn: str = operator.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
        return arn

    def test_a_given_key_is_found_by_arn_id_or_alias(
        self,
        upstream: KmsUpstream,
        operator: Any,  # noqa: ANN401
        given: str,
    ) -> None:
        alias = f"alias/{given.rpartition('/')[2]}"
        operator.create_alias(AliasName=alias, TargetKeyId=given.rpartition("/")[2])
        with kms_keys(upstream) as keys:
            for name in (given, given.rpartition("/")[2], alias, f"{given.partition(':key/')[0]}:{alias}"):
                taken = new_signing_key(GivenKmsKey(keys, name), ES256, generation=1, created=1)
                members = json.loads(taken.material.reveal())
                assert (members["key_arn"], members["made_by_tokend"]) == (given, False)

    def test_an_alias_is_followed_once(self, upstream: KmsUpstream, operator: Any, given: str) -> None:  # noqa: ANN401
        alias = "alias/followed-once"
        other = operator.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        operator.create_alias(AliasName=alias, TargetKeyId=given.rpartition("/")[2])
        with kms_keys(upstream) as keys:
            taken = new_signing_key(GivenKmsKey(keys, alias), ES256, generation=1, created=1)
            operator.update_alias(AliasName=alias, TargetKeyId=other)
            keys.open(taken).sign(b"data", Deadline(SystemClock()))
        assert upstream.requests[-1].body["KeyId"] == given

    def test_a_given_key_is_never_deleted(self, upstream: KmsUpstream, store: Store, given: str) -> None:
        with kms_keys(upstream, deletion_window_days=7) as keys:
            KeyRotation(store, keys, SystemClock(), TIMES).add(ES256, signs_in=0)
            added = KeyRotation(store, GivenKmsKey(keys, given), SystemClock(), TIMES).add(ES256, signs_in=30 * 86_400)
            KeyRotation(store, keys, SystemClock(), TIMES).remove(added.kid, compromised=False)
            with pytest.raises(StaleReading):
                KeyRotation(LateStore(store), GivenKmsKey(keys, given), SystemClock(), TIMES).add(ES256, signs_in=0)
        assert upstream.keys()[given].key_state == "Enabled"

    def test_a_given_key_is_added_once(self, upstream: KmsUpstream, store: Store, given: str) -> None:
        with kms_keys(upstream) as keys:
            rotation = KeyRotation(store, GivenKmsKey(keys, given), SystemClock(), TIMES)
            rotation.add(ES256, signs_in=0)
            with pytest.raises(KeyExists):
                rotation.add(ES256, signs_in=0)
        assert len(store.signing_keys()) == 1

    def test_all_problems_of_a_given_key_are_reported(self, upstream: KmsUpstream, operator: Any) -> None:  # noqa: ANN401
        made = operator.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
        operator.disable_key(KeyId=made["KeyId"])
        with kms_keys(upstream) as keys, pytest.raises(errors.ConfigError) as raised:
            new_signing_key(GivenKmsKey(keys, made["Arn"]), ES256, generation=1, created=1)
        assert raised.value.problems == [
            f"{made['Arn']}: its key spec is RSA_2048, and ES256 needs ECC_NIST_P256",
            f"{made['Arn']}: its key usage is ENCRYPT_DECRYPT, and signatures need SIGN_VERIFY",
            f"{made['Arn']}: its state is Disabled: calls for tokens would fail until it is enabled",
        ]

    @pytest.mark.parametrize(
        "name", ["", "alias/", "alias/a b", "arn:aws:kms:eu-west-1:1:key/a", "arn:aws:iam::123456789012:role/a"]
    )
    def test_an_invalid_key_name_makes_no_request(self, upstream: KmsUpstream, name: str) -> None:
        before = len(upstream.requests)
        with kms_keys(upstream) as keys, pytest.raises(errors.ConfigError, match="is neither alias/NAME"):
            new_signing_key(GivenKmsKey(keys, name), ES256, generation=1, created=1)
        assert len(upstream.requests) == before

    def test_an_alias_needs_a_region(self, upstream: KmsUpstream, given: str) -> None:
        with kms_keys(upstream, region=None) as keys:
            with pytest.raises(errors.ConfigError, match=r"keys\.kms\.region: must name the region"):
                new_signing_key(GivenKmsKey(keys, "alias/a"), ES256, generation=1, created=1)
            assert new_signing_key(GivenKmsKey(keys, given), ES256, generation=1, created=1)
