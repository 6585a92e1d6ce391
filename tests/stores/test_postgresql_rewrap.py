from pathlib import Path

from tests.support.postgresql import PostgresqlServer
from tests.support.rewrapping import rewrap_and_check
from tests.support.server_process import POOL_ID


def test_keys_rewrap_encrypts_and_decrypts_keys_in_postgresql(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    config = tmp_path / "tokend.toml"
    pool = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example.test"\n'
    config.write_text(f'[store]\nurl = "{postgresql.new_schema()}"\n{pool}', encoding="utf-8")
    rewrap_and_check(config, tmp_path)
