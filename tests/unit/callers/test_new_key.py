"""`tokend callers new-key`."""

import tomllib

import pytest
from click.testing import CliRunner, Result

from tokend_server.access.authentication.bearer_keys import BearerKeyAuthenticator
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.cli.callers import callers
from tokend_server.model import Secret


def new_key(*words: str) -> Result:
    return CliRunner().invoke(callers, ["new-key", *words])


@pytest.mark.parametrize("name", ["checkout", "shop.checkout_2-b", "7"])
def test_the_key_is_printed_to_stdout_and_its_configuration_to_stderr(name: str) -> None:
    result = new_key(name)
    assert result.exit_code == 0
    key = result.stdout.removesuffix("\n")
    assert key.startswith("tokend_")
    assert key not in result.stderr
    digests = tomllib.loads(result.stderr)["callers"]["keys"]
    by_key = BearerKeyAuthenticator(digests)
    assert by_key(PresentedCredentials(authorization=(Secret(f"Bearer {key}"),))) == f"key:{name}"


def test_every_key_is_unique() -> None:
    assert len({new_key("checkout").stdout for _ in range(10)}) == 10


@pytest.mark.parametrize("name", ["", "a b", 'a"', "a\n", "a:b", "a/b", "a*", "caf\u00e9", "a" * 129])
def test_an_invalid_caller_name_gets_no_key(name: str) -> None:
    result = new_key(name)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "must be 1 to 128 letters, digits" in result.stderr
