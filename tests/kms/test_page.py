"""server/kms.md: its policies allow exactly the actions of tokend, and its settings are valid."""

import json
import re
from contextlib import closing
from pathlib import Path

import pytest
from tests.fakes.kms_upstream import KmsUpstream
from tests.support.kms import boto3_client, kms_keys

from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config, Keys, load_config
from tokend_server.engines.local.keys.given_kms_key import GivenKmsKey
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.stores.opening import open_migrated_store

PAGE = (Path(__file__).parents[2] / "server" / "kms.md").read_text(encoding="utf-8")
TIMES = Keys().times
ES256 = SigningAlgorithm.ES256


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def allowed(policy: str) -> set[str]:
    actions = [statement["Action"] for statement in json.loads(policy)["Statement"]]
    flat = [each for action in actions for each in (action if isinstance(action, list) else [action])]
    return {each.removeprefix("kms:") for each in flat}


def test_the_first_policy_allows_exactly_the_actions_of_signing(upstream: KmsUpstream) -> None:
    clock = SystemClock()
    with kms_keys(upstream) as keys:
        made = new_signing_key(keys, ES256, generation=1, created=1)
        before = len(upstream.requests)
        keys.open(made).sign(b"data", Deadline(clock))
        keys.open(made).check()
    assert set(upstream.operations[before:]) == allowed(blocks("json")[0])


def test_the_second_policy_allows_exactly_the_further_actions_of_key_management(
    upstream: KmsUpstream, tmp_path: Path
) -> None:
    before = len(upstream.requests)
    with (
        kms_keys(upstream, deletion_window_days=7) as keys,
        closing(open_migrated_store(Config(data_dir=tmp_path))) as store,
    ):
        rotation = KeyRotation(store, keys, SystemClock(), TIMES)
        rotation.add(ES256, signs_in=0)
        rotation.remove(rotation.add(ES256, signs_in=30 * 86_400).kid, compromised=False)
    signing, making = map(allowed, blocks("json"))
    created = next(request.body for request in upstream.requests[before:] if request.operation == "CreateKey")
    needed = {*upstream.operations[before:], *(["TagResource"] if created["Tags"] else [])}
    assert needed - signing == making


def test_the_policy_conditions_match_the_tag_of_new_keys(upstream: KmsUpstream) -> None:
    before = len(upstream.requests)
    with kms_keys(upstream) as keys:
        new_signing_key(keys, ES256, generation=1, created=1)
    tags = {tag["TagKey"]: tag["TagValue"] for tag in upstream.requests[before].body["Tags"]}
    for policy in blocks("json"):
        for statement in json.loads(policy)["Statement"]:
            ((condition, value),) = statement["Condition"]["StringEquals"].items()
            assert tags[condition.rpartition("/")[2]] == value
    assert "Key=tokend,Values=signing-key" in PAGE
    assert all(f"`{name}`" in PAGE for name in tags)


def test_adding_a_given_key_also_needs_describe_key(upstream: KmsUpstream) -> None:
    given = boto3_client(upstream).create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    before = len(upstream.requests)
    with kms_keys(upstream) as keys:
        new_signing_key(GivenKmsKey(keys, given), ES256, generation=1, created=1)
    assert set(upstream.operations[before:]) - allowed(blocks("json")[0]) == {"DescribeKey"}
    assert "`kms:DescribeKey`" in PAGE


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_configuration_on_the_page_is_valid(block: str, tmp_path: Path) -> None:
    path = tmp_path / "tokend.toml"
    path.write_text(f'{block}\n[pools."eu-west-1:0a"]\ndeveloper_provider_name = "login.example"\n')
    assert load_config(path).keys.signer == "aws-kms"


def test_a_million_tokens_cost_what_the_requests_do() -> None:
    rows = re.findall(r"\| \$([\d.]+) \| \$(\d+) \| \$1 \|", PAGE)
    assert len(rows) == 2
    assert [100 * float(price) for price, _ in rows] == [float(million) for _, million in rows]
    idle = [8.64 * float(price) for price, _ in rows]  # two requests per minute, in a month of 30 days
    assert f"month, ${idle[0]:.2f} or ${idle[1]:.2f}." in PAGE.replace("\n", " ")
