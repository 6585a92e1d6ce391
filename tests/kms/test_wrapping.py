"""Private keys in the store, encrypted with data keys of KMS."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.session import Session
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from prometheus_client import CollectorRegistry
from tests.fakes.cognito_script import Body, Hang, Step
from tests.fakes.kms_upstream import KmsUpstream, failure
from tests.support.kms import REGION, boto3_client, encrypted_by, kms_wrapping, new_wrapping_key
from tests.support.tokend import done

from tokend_server import errors
from tokend_server.clock import SystemClock
from tokend_server.config import Config
from tokend_server.engines.local.keys.build import open_key_manager
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.kms_fault_rows import WRAPPING_ERROR_CODES
from tokend_server.engines.local.keys.kms_wrapping import KmsWrapping
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.opening import method_of
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.metrics import Metrics
from tokend_server.model import Secret

PRIVATE = Secret("-----BEGIN PRIVATE KEY-----\nnot really\n-----END PRIVATE KEY-----\n")
ES256 = SigningAlgorithm.ES256
CONTEXT = {"tokend:use": "signing key", "tokend:kid": "kid", "tokend:algorithm": "ES256"}


@pytest.fixture(scope="module")
def arn(_running: KmsUpstream) -> str:
    return new_wrapping_key(_running)


@pytest.fixture
def wrapping(upstream: KmsUpstream, arn: str) -> Iterator[KmsWrapping]:
    with kms_wrapping(encrypted_by(upstream, arn, max_attempts=1)) as opened:
        yield opened


def record(wrapping: KmsWrapping) -> SigningKey:
    return SigningKey("kid", ES256, 1, wrapping.wrap("kid", ES256, PRIVATE), 1, 1)


def test_an_encrypted_key_is_decrypted_and_its_material_has_no_plaintext(wrapping: KmsWrapping, arn: str) -> None:
    key = record(wrapping)
    assert wrapping.unwrap(key) == PRIVATE
    assert wrapping.is_current(key)
    assert method_of(key.material) == "aws-kms-envelope"
    assert "PRIVATE" not in key.material.reveal()
    assert json.loads(key.material.reveal())["wrapping_key"] == arn


def test_the_stored_format_matches_the_page(wrapping: KmsWrapping, upstream: KmsUpstream) -> None:
    kept = json.loads(record(wrapping).material.reveal())
    data_key, nonce, ciphertext = (base64.b64decode(kept[name]) for name in ("data_key", "nonce", "ciphertext"))
    opened = boto3_client(upstream).decrypt(CiphertextBlob=data_key, EncryptionContext=CONTEXT)["Plaintext"]
    about = b'["tokend signing key",1,"aws-kms-envelope","kid","ES256"]'
    assert AESGCM(opened).decrypt(nonce, ciphertext, about).decode() == PRIVATE.reveal()


def test_each_key_has_a_data_key_of_its_own(wrapping: KmsWrapping) -> None:
    kept = [json.loads(record(wrapping).material.reveal()) for _ in range(2)]
    assert len({each["data_key"] for each in kept}) == len({each["nonce"] for each in kept}) == 2


def test_a_key_is_encrypted_by_an_alias_and_opened_by_it(upstream: KmsUpstream, arn: str) -> None:
    alias = f"alias/{arn.rpartition('/')[2]}"
    boto3_client(upstream).create_alias(AliasName=alias, TargetKeyId=arn)
    with kms_wrapping(encrypted_by(upstream, alias)) as by_alias, kms_wrapping(encrypted_by(upstream, arn)) as by_arn:
        key = record(by_alias)
        assert by_alias.unwrap(key) == by_arn.unwrap(key) == PRIVATE
        assert by_alias.is_current(key)
        assert by_arn.is_current(key)
        assert json.loads(key.material.reveal())["wrapping_key"] == arn


def test_previous_wrapping_keys_decrypt_old_keys_and_encrypt_no_new_ones(
    wrapping: KmsWrapping, upstream: KmsUpstream, arn: str
) -> None:
    key, other = record(wrapping), new_wrapping_key(upstream)
    with kms_wrapping(encrypted_by(upstream, other, arn)) as after:
        assert after.unwrap(key) == PRIVATE
        assert not after.is_current(key)
        assert after.is_current(record(after))
    with kms_wrapping(encrypted_by(upstream, other)) as without, pytest.raises(errors.EngineMisconfigured) as raised:
        without.unwrap(key)
    assert f"the KMS key {arn}, which is neither keys.encryption.kms_key_id nor" in raised.value.advice


def test_an_alias_of_another_wrapping_key_does_not_decrypt_an_old_key(
    wrapping: KmsWrapping, upstream: KmsUpstream
) -> None:
    key, other = record(wrapping), new_wrapping_key(upstream)
    boto3_client(upstream).create_alias(AliasName="alias/moved", TargetKeyId=other)
    with kms_wrapping(encrypted_by(upstream, "alias/moved")) as moved:
        assert not moved.is_current(key)
        with pytest.raises(errors.EngineMisconfigured, match="cannot be used"):
            moved.unwrap(key)


@pytest.mark.parametrize(
    "change",
    [
        lambda key: replace(key, kid="another"),
        lambda key: replace(key, algorithm=SigningAlgorithm.RS256),
        lambda key: replace(key, material=Secret(key.material.reveal().replace('"version":1', '"version":2'))),
    ],
    ids=["kid", "algorithm", "version"],
)
def test_a_record_that_was_changed_or_moved_is_refused(
    wrapping: KmsWrapping, change: Callable[[SigningKey], SigningKey]
) -> None:
    changed = change(record(wrapping))
    with pytest.raises(errors.EngineMisconfigured) as raised:
        wrapping.unwrap(changed)
    assert raised.value.text == f"The record of signing key {changed.kid} cannot be used."


def test_requests_to_kms_contain_the_key_id_and_the_encryption_context(
    wrapping: KmsWrapping, upstream: KmsUpstream, arn: str
) -> None:
    before = len(upstream.requests)
    wrapping.unwrap(record(wrapping))
    made, opened = upstream.requests[before:]
    assert (made.operation, opened.operation) == ("GenerateDataKey", "Decrypt")
    assert made.body == {"KeyId": arn, "KeySpec": "AES_256", "EncryptionContext": CONTEXT}
    assert opened.body.keys() == {"CiphertextBlob", "KeyId", "EncryptionContext"}
    assert (opened.body["KeyId"], opened.body["EncryptionContext"]) == (arn, CONTEXT)


@pytest.mark.parametrize(
    ("step", "error", "expected"),
    [
        (failure("NotFoundException"), errors.EngineMisconfigured, "does not have the key that encrypts signing keys"),
        (failure("DisabledException"), errors.EngineMisconfigured, "refuses the use of the key"),
        (failure("KMSInvalidStateException"), errors.EngineMisconfigured, "refuses the use of the key"),
        (failure("InvalidKeyUsageException"), errors.EngineMisconfigured, "does not encrypt with the key"),
        (failure("KeyUnavailableException", 500), errors.EngineUnavailable, "cannot reach the key that encrypts"),
        (failure("KMSInternalException", 500), errors.EngineUnavailable, "AWS KMS failed"),
        (failure("ThrottlingException"), errors.TooManyRequests, "Rate exceeded"),
        (failure("AccessDeniedException"), errors.EngineCredentialsRejected, "credentials"),
        (Body(b"<html></html>", 200, "text/html"), errors.EngineMisconfigured, "cannot be parsed"),
        (Body(b'{"Plaintext": "AAAA", "CiphertextBlob": "AAAA"}'), errors.EngineMisconfigured, "cannot be parsed"),
    ],
)
def test_errors_of_kms_are_explained_for_the_wrapping_key(
    wrapping: KmsWrapping, upstream: KmsUpstream, step: Step, error: type[errors.TokendError], expected: str
) -> None:
    key = record(wrapping)
    upstream.always(step)
    for call in (lambda: record(wrapping), lambda: wrapping.unwrap(key)):
        with pytest.raises(error, match=expected) as raised:
            call()
        assert raised.value.advice


def test_every_declared_error_has_a_row() -> None:
    model = Session().get_service_model("kms")
    operations = map(model.operation_model, ("Decrypt", "GenerateDataKey"))
    assert {shape.name for operation in operations for shape in operation.error_shapes} <= WRAPPING_ERROR_CODES.keys()


def test_a_call_ends_within_its_time(upstream: KmsUpstream, arn: str) -> None:
    with kms_wrapping(encrypted_by(upstream, arn, timeout_seconds=0.3)) as wrapping:
        upstream.always(Hang())
        with pytest.raises(errors.EngineUnavailable, match="in time"):
            record(wrapping)


def test_the_policy_of_the_page_is_what_serving_needs(wrapping: KmsWrapping, upstream: KmsUpstream) -> None:
    page = (Path(__file__).parents[2] / "server" / "keys.md").read_text(encoding="utf-8")
    (policy,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (statement,) = json.loads(policy)["Statement"]
    before = len(upstream.requests)
    wrapping.unwrap(record(wrapping))
    assert {f"kms:{operation}" for operation in upstream.operations[before:]} == set(statement["Action"])
    ((condition, value),) = statement["Condition"]["StringEquals"].items()
    assert CONTEXT[condition.removeprefix("kms:EncryptionContext:")] == value


def test_requests_are_measured(upstream: KmsUpstream, arn: str) -> None:
    metrics = Metrics(CollectorRegistry())
    with kms_wrapping(encrypted_by(upstream, arn), metrics) as wrapping:
        wrapping.unwrap(record(wrapping))
    for operation in ("GenerateDataKey", "Decrypt"):
        labels = {"region": REGION, "operation": operation}
        assert metrics.registry.get_sample_value("tokend_kms_request_seconds_count", labels) == 1


def test_keys_of_all_kinds_are_opened_beside_each_other(upstream: KmsUpstream, arn: str) -> None:
    config = encrypted_by(upstream, arn)
    signing = config.model_copy(update={"keys": config.keys.model_copy(update={"signer": "aws-kms"})})
    clock, metrics = SystemClock(), Metrics(CollectorRegistry())
    with open_key_manager(config, metrics, clock) as wrapped, open_key_manager(signing, metrics, clock) as in_kms:
        made = [new_signing_key(each, ES256, generation=1, created=1) for each in (wrapped, in_kms, StoredKeys())]
        assert [method_of(key.material) for key in made] == ["aws-kms-envelope", "aws-kms", "clear"]
        for manager in (wrapped, in_kms):
            assert [manager.open(key).public_key.thumbprint() for key in made] == [key.kid for key in made]


def test_keys_rewrap_encrypts_stored_keys_with_kms_and_skips_other_keys(
    upstream: KmsUpstream, arn: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokend.toml"
    path.write_text(
        f"""
data_dir = "{tmp_path}"
[pools."eu-west-1:0a"]
developer_provider_name = "login.example"
[keys.kms]
region = "{REGION}"
endpoint_url = "{upstream.url}"
[keys.encryption]
method = "aws-kms"
kms_key_id = "{arn}"
""",
        encoding="utf-8",
    )
    with closing(open_migrated_store(Config(data_dir=tmp_path))) as store:
        kept = new_signing_key(StoredKeys(), ES256, generation=1, created=1)
        store.add_signing_key(kept)
    done("keys", "add", "RS256", "--config", str(path))
    command = ("keys", "rewrap", "--config", str(path))
    shown = {each["KeyId"]: (each["Rewrap"], each["Method"]) for each in done(*command)["Keys"]}
    assert shown.pop(kept.kid) == ("rewrapped", "aws-kms-envelope")
    assert list(shown.values()) == [("is current", "aws-kms-envelope")]
    assert {each["Rewrap"] for each in done(*command)["Keys"]} == {"is current"}
    given = boto3_client(upstream).create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    done("keys", "add", "ES256", "--kms-key", given, "--config", str(path))
    assert sorted({each["Rewrap"] for each in done(*command)["Keys"]}) == ["is current", "is not in the store"]
