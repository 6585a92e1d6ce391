from pathlib import Path

from tests.support.postgresql import PostgresqlServer
from tests.support.rewrapping import rewrapped_where_they_are
from tests.support.server_process import POOL_ID


def test_keys_are_encrypted_and_stay_what_they_are(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    config = tmp_path / "tokend.toml"
    pool = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example.test"\n'
    config.write_text(f'[store]\nurl = "{postgresql.new_schema()}"\n{pool}', encoding="utf-8")
    rewrapped_where_they_are(config, tmp_path)
