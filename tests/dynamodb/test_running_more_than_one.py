"""The commands of server/running-more-than-one.md with DynamoDB, literally except for the table's endpoint."""

from pathlib import Path

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.support.dynamodb import table_name, table_url
from tests.support.running_more_than_one import blocks, copied, ids_by_two_servers, registered_on
from tests.support.tokend import run


@pytest.mark.timeout(BUILD_TIMEOUT)
def test_the_commands_of_the_page_run_two_servers_with_the_same_identities(dynoxide_url: str, tmp_path: Path) -> None:
    (toml,) = blocks("DynamoDB", "toml")
    assert blocks("DynamoDB", "sh") == ["tokend migrate\n"]
    before = tmp_path / "tokend.db"
    known = registered_on(before)
    table, place = table_name(), "dynamodb://tokend?region=eu-west-1"
    assert place in toml
    config = tmp_path / "tokend.toml"
    config.write_text(toml.replace(place, table_url(dynoxide_url, table)), encoding="utf-8")
    environment = {"TOKEND_CONFIG": str(config)}
    assert "run `tokend migrate`" in run("keys", "list", **environment).stderr
    assert run("migrate", **environment).stdout == "applied: 0001\n"
    assert f"store dynamodb://{table}" in run("check-config", **environment).stdout
    copied(before, config)
    issued, again = ids_by_two_servers(config)
    assert issued[0] == issued[1]
    assert again == [known, known]
