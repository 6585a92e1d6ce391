from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from tests.unit.config.conftest import Load
from tests.unit.config.file_parts import DIGEST, EVERYBODY, KEYS, POOL
from tests.unit.config.variables import COMPANIONS, SETTINGS

from tokend_server.config import Config, environment_variables, load_config


def setting_of(config: Config, variable: str) -> Any:  # noqa: ANN401 - settings have many types
    section, name = environment_variables()[variable]
    return attrgetter(name)(getattr(config, section) if section else config)


def test_every_variable_is_tested_here() -> None:
    assert environment_variables().keys() - SETTINGS.keys() == {"TOKEND_POOLS"}


@pytest.mark.parametrize("variable", SETTINGS)
def test_a_variable_sets_its_setting(
    variable: str, tls_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    default = setting_of(load_config(None), variable)
    for each in (variable, *COMPANIONS.get(variable, ())):
        name, _, value = each.partition("=")
        given = value or SETTINGS[name][0]
        monkeypatch.setenv(name, str(tls_files[given.strip("{}")]) if SETTINGS[name][1] is None else given)
    expected = SETTINGS[variable][1]
    if expected is None:
        expected = tls_files[SETTINGS[variable][0].strip("{}")]
    assert setting_of(load_config(None), variable) == expected != default


def test_environment_variables_override_single_settings_of_the_file(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEND_GRPC_THREADS", "9")
    monkeypatch.setenv("TOKEND_GRPC_LISTEN", "127.0.0.1:9")
    grpc = load(f'{POOL}[grpc]\nthreads = 3\nlisten = ["127.0.0.1:1", "127.0.0.1:2"]\nreflection = false').grpc
    assert (grpc.threads, grpc.listen, grpc.reflection) == (9, ["127.0.0.1:9"], False)


def test_a_table_within_a_table_is_set_by_the_environment_too(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_KEYS_KMS_BURST", "9")
    monkeypatch.setenv("TOKEND_KEYS_SIGNER", "aws-kms")
    keys = load(f'{POOL}[keys.kms]\nregion = "eu-west-1"\nburst = 3\nmax_calls = 2').keys
    assert (keys.signer, keys.kms.region, keys.kms.burst, keys.kms.max_calls) == ("aws-kms", "eu-west-1", 9, 2)


def test_the_environment_may_declare_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_POOLS", '{"us-east-1:0b": {"developer_provider_name": "login.example"}}')
    assert "us-east-1:0b" in load_config(None).pools


def test_tables_of_the_environment_are_merged_into_those_of_the_file(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = '{"callers": ["key:b"], "pools": ["*"], "operations": ["*"]}'
    monkeypatch.setenv("TOKEND_POLICY", f'{{"first": {row}, "everybody": {row}}}')
    monkeypatch.setenv("TOKEND_CALLERS_KEYS", f'{{"other": ["{DIGEST}"]}}')
    monkeypatch.setenv("TOKEND_GRPC_IDENTIFY_BY", "bearer_key")
    config = load(f"{POOL}{EVERYBODY}max_token_duration_seconds = 60\n{KEYS}")
    assert list(config.policy) == ["everybody", "first"]
    assert config.policy["everybody"].callers == ["key:b"]
    assert config.policy["everybody"].max_token_duration_seconds == 60  # setting by setting
    assert list(config.callers.keys) == ["checkout", "other"]
