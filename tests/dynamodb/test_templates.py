"""Templates create the same table as tokend."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.dynamodb import table_url
from tests.support.server_process import POOL_ID
from tests.support.tokend import run

from tokend_server.engines.local.stores.dynamodb.schema import table_settings

POOL = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example.test"\n'
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"


def template(language: str, url: str, directory: Path) -> dict[str, Any]:
    path = directory / "tokend.toml"
    path.write_text(f'[store]\nurl = "{url}"\n{POOL}', encoding="utf-8")
    ended = run("migrate", "--print", language, "--config", str(path))
    assert (ended.returncode, ended.stderr) == (0, "")
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


@pytest.mark.parametrize("kms_key_id", [None, KEY])
def test_cloudformation_describes_the_table_that_tokend_would_make(tmp_path: Path, kms_key_id: str | None) -> None:
    parameters = {"kms_key_id": kms_key_id} if kms_key_id else {}
    document = template("cloudformation", table_url("http://127.0.0.1:9", "tokend", **parameters), tmp_path)
    ((_name, resource),) = document["Resources"].items()
    assert resource["Type"] == "AWS::DynamoDB::Table"
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    asked = dict(table_settings(kms_key_id))
    key = {"KMSMasterKeyId": KEY} if kms_key_id else {}
    assert asked.pop("SSESpecification") == {"Enabled": True, "SSEType": "KMS", **key}
    assert resource["Properties"] == {
        "TableName": "tokend",
        **asked,
        "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", **key},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }


@pytest.mark.parametrize("kms_key_id", [None, KEY])
def test_terraform_describes_the_same_table(tmp_path: Path, kms_key_id: str | None) -> None:
    parameters = {"kms_key_id": kms_key_id} if kms_key_id else {}
    resource = template("terraform", table_url("http://127.0.0.1:9", "tokend", **parameters), tmp_path)
    assert resource["resource"]["aws_dynamodb_table"]["tokend"] == {
        "name": "tokend",
        "billing_mode": "PAY_PER_REQUEST",
        "hash_key": "pk",
        "range_key": "sk",
        "attribute": [{"name": "pk", "type": "S"}, {"name": "sk", "type": "S"}],
        "deletion_protection_enabled": True,
        "point_in_time_recovery": {"enabled": True},
        "server_side_encryption": {"enabled": True, **({"kms_key_arn": KEY} if kms_key_id else {})},
        "lifecycle": {"prevent_destroy": True},
    }


def test_a_file_needs_no_template(tmp_path: Path) -> None:
    path = tmp_path / "tokend.toml"
    path.write_text(f'[store]\nurl = "sqlite:///{tmp_path}/tokend.db"\n{POOL}', encoding="utf-8")
    ended = run("migrate", "--print", "terraform", "--config", str(path))
    assert ended.returncode == 1
    assert ended.stderr == "configuration: store.url: a store of this kind has no template for terraform\n"
    assert list(tmp_path.iterdir()) == [path]
