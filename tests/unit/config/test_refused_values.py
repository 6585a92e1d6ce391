"""Problems do not contain the rejected values, which may be secrets."""

import pytest
from tests.unit.config.conftest import Problems
from tests.unit.config.file_parts import DIGEST, ISSUER, KEY, POOL, SECRET

from tokend_server.config import load_config
from tokend_server.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        f'[store]\nurl = "mysql://user:{SECRET}@db/tokend"',
        f'[store]\nurl = "postgresql://user:{SECRET}@{SECRET}@db/tokend"',
        f'[store]\nurl = "postgresql://user@db/tokend?password={SECRET}"',
        f'[grpc]\nlisten = ["user:{SECRET}@10.0.0.1:1"]',
        f'[ops]\nlisten = "{SECRET}"',
        f'[log]\nlevel = "{SECRET}"',
        f'[grpc]\nthreads = "{SECRET}"',
        f'password = "{SECRET}"',
        f'[grpc]\npassword = "{SECRET}"',
        f'[ops]\nlisten = "user:{SECRET}"',
        f'[ops]\nlisten = "[{SECRET}]:1"',
        f'[issuer]\nurl = "https://user:{SECRET}"',
        f'[issuer]\nurl = "https://user:{SECRET}@\u2100"',
        f'[cognito]\nendpoint_url = "https://{SECRET}:{SECRET}"',
        f'[callers.keys]\na = ["{SECRET}"]',
        f'[callers.keys]\na = "{SECRET}"',
        f'[callers]\nkeys = "{SECRET}"',
        f'{ISSUER}bearer_token = "{SECRET}"',
        ISSUER.replace("https://", f"https://user:{SECRET}@"),
        ISSUER.replace("RS256", SECRET),
        f'[audit]\ndestination = "https://user:{SECRET}@logs.example"',
        f'[grpc]\nidentify_by = ["{SECRET}"]',
        f'[limits]\ncalls_per_second = "{SECRET}"',
        f'[policy]\neverybody = "{SECRET}"',
    ],
)
def test_a_value_that_is_refused_is_not_repeated(text: str, problems: Problems) -> None:
    found = problems(f"{text}\n{POOL}")
    assert found
    assert SECRET not in str(found)


@pytest.mark.parametrize(
    "variable",
    [
        "TOKEND_POOLS",
        "TOKEND_GRPC",
        "TOKEND_GRPC_THREADS",
        "TOKEND_GRPC_LISTENERS",
        "TOKEND_STORE_URL",
        "TOKEND_CALLERS_KEYS",
        "TOKEND_CALLERS_JWT",
        "TOKEND_POLICY",
        "TOKEND_LIMITS_CALLERS",
    ],
)
def test_a_variable_that_is_refused_is_not_repeated(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert variable.split("_")[1].lower() in str(raised.value).lower()
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("given", [f'["{KEY.reveal()}"]', f'["{DIGEST}", "sha256:{KEY.reveal()}"]'])
def test_a_key_in_place_of_its_digest_is_refused_and_not_repeated(given: str, problems: Problems) -> None:
    (problem,) = problems(f"{POOL}[callers.keys]\ncheckout = {given}")
    assert problem.startswith("callers.keys.checkout.")
    assert problem.endswith(": must be the digest of a key: sha256: and 64 hexadecimal digits")
    assert KEY.reveal() not in problem


@pytest.mark.parametrize("given", [f'{{"checkout": ["{KEY.reveal()}"]}}', KEY.reveal(), f'["{KEY.reveal()}"]'])
def test_a_key_in_the_environment_is_refused_and_not_repeated(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEND_CALLERS_KEYS", given)
    with pytest.raises(ConfigError) as raised:
        load_config(None)
    assert "callers" in str(raised.value)
    assert KEY.reveal() not in str(raised.value)
    assert raised.value.__cause__ is None  # which would show the value
