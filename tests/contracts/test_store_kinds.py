"""Every listed kind of store can be opened, and passes the contract."""

from importlib import import_module
from pathlib import Path

import pytest

from tokend_server.config import Config, Store
from tokend_server.config.stores import STORE_KINDS
from tokend_server.errors import ConfigError


@pytest.mark.parametrize("scheme", STORE_KINDS)
def test_each_kind_of_store_can_be_opened_and_has_a_contract_test(scheme: str) -> None:
    assert callable(import_module(STORE_KINDS[scheme].module).open_configured)
    assert (Path(__file__).parent / f"test_{scheme}_store.py").is_file()
    assert STORE_KINDS[scheme].form.startswith(f"{scheme}:")


def test_only_sqlite_stores_have_a_file() -> None:
    config = Config(store=Store(url="postgresql://me@db/tokend"))
    with pytest.raises(ConfigError, match=r"store\.url: names no SQLite database"):
        config.store_file.touch()
