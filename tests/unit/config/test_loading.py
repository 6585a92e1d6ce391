from pathlib import Path

import pytest
from platformdirs import user_data_path
from tests.unit.config.conftest import Load
from tests.unit.config.file_parts import POOL, POOL_ID

from tokend_server.config import EMBEDDED_DEVELOPER_PROVIDER, EMBEDDED_POOL_ID, load_config
from tokend_server.errors import ConfigError


def test_the_default_configuration_has_one_pool_and_loopback_listeners() -> None:
    config = load_config(None)
    assert {pool_id: pool.developer_provider_name for pool_id, pool in config.pools.items()} == {
        EMBEDDED_POOL_ID: EMBEDDED_DEVELOPER_PROVIDER
    }
    assert (config.grpc.listen, config.issuer.listen, config.ops.listen) == (
        ["127.0.0.1:50051"],
        "127.0.0.1:8080",
        "127.0.0.1:9090",
    )
    assert config.store_file == user_data_path("tokend") / "tokend.db"
    assert config.pools[EMBEDDED_POOL_ID].signing_algorithm == "RS512"


def test_a_file_is_read(load: Load) -> None:
    config = load(
        f"""
data_dir = "/srv/tokend"
[grpc]
threads = 3
[log]
level = "error"
[pools."{POOL_ID}"]
developer_provider_name = "login.example"
signing_algorithm = "ES256"
account_id = "123456789012"
[pools."{POOL_ID}".open_id_connect_providers]
"accounts.google.com" = {{ client_ids = ["a", "b"] }}
"login.test" = {{ client_ids = ["c"], issuer = "https://issuer.test/x" }}
"""
    )
    pool = config.pools[POOL_ID]
    assert (config.grpc.threads, config.log.level, config.log.format) == (3, "error", "json")
    assert config.store_file == Path("/srv/tokend/tokend.db")
    assert (pool.signing_algorithm, pool.account_id) == ("ES256", "123456789012")
    assert pool.open_id_connect_providers["accounts.google.com"].client_ids == ["a", "b"]
    assert pool.open_id_connect_providers["login.test"].issuer == "https://issuer.test/x"


def test_a_sqlite_url_sets_the_store_file(load: Load) -> None:
    assert load(f'{POOL}[store]\nurl = "sqlite:////srv/x.db"').store_file == Path("/srv/x.db")
    assert load(f'{POOL}[store]\nurl = "sqlite:///x.db"').store_file == Path("x.db")


def test_one_setting_moves_a_pool_to_another_engine(load: Load) -> None:
    settings = 'signing_algorithm = "ES256"\nopen_id_connect_providers."login.test" = { client_ids = ["a"] }\n'
    local, cognito = (load(f'{POOL}{settings}engine = "{engine}"') for engine in ("local", "cognito"))
    assert (list(local.pools_of("local")), list(local.pools_of("cognito"))) == ([POOL_ID], [])
    assert (list(cognito.pools_of("local")), list(cognito.pools_of("cognito"))) == ([], [POOL_ID])


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[log]\nlevel = "\xe9"\n')
    for name, expected in (("absent.toml", "No such file"), ("latin.toml", "can't decode")):
        with pytest.raises(ConfigError) as raised:
            load_config(tmp_path / name)
        assert expected in raised.value.problems[0]


def test_a_provider_may_end_its_issuer_in_a_slash(load: Load) -> None:
    provider = load(
        f'{POOL}open_id_connect_providers."t.example" = {{ client_ids = ["a"], issuer = "https://t.example/" }}'
    ).pools[POOL_ID]
    assert provider.open_id_connect_providers["t.example"].issuer == "https://t.example/"
