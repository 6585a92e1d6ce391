"""A start compares the schema with a list, and loads Alembic only for pending migrations."""

import subprocess
import sys
from pathlib import Path

from alembic.script import ScriptDirectory

from tokend_server.engines.local.stores.sql import migrations

_OPEN = """
import sys
from pathlib import Path
from tokend_server import cli
serve = cli.tokend.commands["serve"]
print("serve", "sqlalchemy" in sys.modules)
others = list(cli.tokend.commands.values())
from sqlalchemy import Engine, event
from tokend_server.config import Config
from tokend_server.engines.local.stores.opening import open_migrated_store

def executed(statement):
    if statement == "BEGIN IMMEDIATE":
        print("locked", "alembic.command" in sys.modules)

def connected(connection, record):
    connection.set_trace_callback(executed)

event.listen(Engine, "connect", connected)
open_migrated_store(Config(data_dir=Path(sys.argv[1]))).close()
print(sorted({"alembic", "mako", "pygments", "sqlalchemy"} & sys.modules.keys()))
"""


def test_the_list_names_every_migration_in_its_order() -> None:
    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    assert [each.revision for each in scripts.walk_revisions()][::-1] == list(migrations.MIGRATIONS)


def test_sqlalchemy_is_loaded_only_for_its_stores_and_alembic_only_for_migrations(
    tmp_path: Path,
) -> None:
    loaded = [
        subprocess.run(
            [sys.executable, "-c", _OPEN, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
        ).stdout.splitlines()
        for _ in range(2)
    ]
    assert [lines.pop(0) for lines in loaded] == ["serve False"] * 2
    # Other processes do not wait for the lock while Alembic is being loaded.
    assert loaded[0][0] == "locked True"
    assert "alembic" in loaded[0][-1]
    assert loaded[1] == ["['sqlalchemy']"]
