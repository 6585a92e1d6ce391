"""Access keys: their format, and secrets that are derived rather than stored."""

import tomllib
from pathlib import Path

import pytest
from botocore.loaders import Loader
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tokend_server.callers.aws_keys import check_access_key_id, new_access_key_id, secret_access_key
from tokend_server.cli.callers import callers
from tokend_server.errors import ConfigError

KEY = bytes(range(32))
KEY_ID = "TKNDABCDEFGHIJKLMNOP"


def new_aws_key(*words: str) -> Result:
    return CliRunner().invoke(callers, ["new-aws-key", *words])


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "aws.key"
    path.write_text(KEY.hex(), encoding="ascii")
    return path


@given(st.binary(min_size=10, max_size=10))
def test_an_access_key_id_has_the_format_and_length_of_aws_ids(random: bytes) -> None:
    access_key_id = new_access_key_id(lambda count: random[:count])
    assert check_access_key_id(access_key_id) == access_key_id
    assert len(access_key_id) == len("AKIAIOSFODNN7EXAMPLE")


def test_the_lengths_of_an_id_and_a_secret_match_the_aws_model() -> None:
    shapes = Loader().load_service_model("iam", "service-2")["shapes"]
    assert shapes["accessKeyIdType"]["min"] <= len(KEY_ID) <= shapes["accessKeyIdType"]["max"]
    assert len(secret_access_key(KEY, KEY_ID).reveal()) == len("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


def test_a_secret_is_derived_from_its_id_and_the_key() -> None:
    secrets = {
        secret_access_key(key, access_key_id).reveal()
        for key in (KEY, KEY[::-1])
        for access_key_id in (KEY_ID, "TKNDQRSTUVWXYZ234567")
    }
    assert len(secrets) == 4
    assert secret_access_key(KEY, KEY_ID).reveal() == "n0WDKt1n25MROfP3p77ozhjqp91zvp6rhEhRdekC"


def test_the_command_prints_variables_and_configuration(key_file: Path) -> None:
    result = new_aws_key("checkout", "--key-file", str(key_file))
    assert result.exit_code == 0
    variables = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert list(variables) == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    assert tomllib.loads(result.stderr) == {"callers": {"aws_keys": {"checkout": [variables["AWS_ACCESS_KEY_ID"]]}}}
    expected = secret_access_key(KEY, variables["AWS_ACCESS_KEY_ID"]).reveal()
    assert variables["AWS_SECRET_ACCESS_KEY"] == expected
    assert expected not in result.stderr


def test_every_access_key_is_unique(key_file: Path) -> None:
    assert len({new_aws_key("checkout", "--key-file", str(key_file)).stdout for _ in range(10)}) == 10


@pytest.mark.parametrize("content", [b"", b"short", bytes(32)])
def test_an_invalid_key_file_is_rejected_without_output(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "aws.key"
    path.write_bytes(content)
    result = new_aws_key("checkout", "--key-file", str(path))
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(f"callers.aws_key_file: {path}: ")
    assert result.stdout == ""
