"""The schema of the store: the settings of the table, and an item with the migrations of its contents."""

import logging
from collections.abc import Mapping
from typing import Any

from tokend_server.clock import Clock, Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.stores.dynamodb import actions, items
from tokend_server.engines.local.stores.dynamodb.items import PARTITION_KEY, SORT_KEY
from tokend_server.engines.local.stores.dynamodb.table import Sleep, Table
from tokend_server.errors import ConfigError, EngineMisconfigured, EngineUnavailable

#: The names of all migrations, oldest first.
MIGRATIONS = ("0001",)

#: The number of migrations that a release must know to use the table.
_OLDEST = 1

#: Seconds that a migration waits for the table, and between two checks of it.
READY_TIMEOUT = 120.0
_INTERVAL = 1.0

_VERSION: items.Item = {"version": {"N": str(len(MIGRATIONS))}, "oldest": {"N": str(_OLDEST)}}

_log = logging.getLogger(__name__)


def table_settings(kms_key_id: str | None) -> Mapping[str, Any]:
    """Returns the parameters of CreateTable without the name.

    Args:
        kms_key_id: The key that encrypts the table; None for the one that AWS manages for DynamoDB.
    """
    encryption = {"Enabled": True, "SSEType": "KMS"}
    return {
        "AttributeDefinitions": [
            {"AttributeName": PARTITION_KEY, "AttributeType": "S"},
            {"AttributeName": SORT_KEY, "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": PARTITION_KEY, "KeyType": "HASH"},
            {"AttributeName": SORT_KEY, "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "DeletionProtectionEnabled": True,
        "SSESpecification": encryption | ({"KMSMasterKeyId": kms_key_id} if kms_key_id else {}),
    }


def missing(table: Table) -> list[str]:
    """Returns the names of the migrations that are not yet applied, oldest first.

    The schema may be of a newer release, if that release has removed nothing that this one needs.

    Raises:
        ConfigError: The schema is incompatible with this release.
        EngineUnavailable: DynamoDB does not answer.
    """
    item = table.get_if_table(items.SCHEMA)
    version = items.number(item, "version") if item else 0
    if item and items.number(item, "oldest") > len(MIGRATIONS):
        raise ConfigError([f"store: its schema ({version}) is newer than this release"])
    return list(MIGRATIONS[version:])


def migrate(table: Table, kms_key_id: str | None, clock: Clock, sleep: Sleep) -> list[str]:
    """Creates the table if it does not exist, and records the schema of this release in it.

    The settings of an existing table are not changed. If the backups of a table that was created here could not be
    enabled, this is retried.

    Raises:
        ConfigError: As `missing`.
        EngineUnavailable: DynamoDB does not answer, or the table is not ready in time.
    """
    names = missing(table)
    if not names:
        return []
    limit = Deadline(clock).within(READY_TIMEOUT)
    made = table.describe() is None and table.create(table_settings(kms_key_id))
    while (table.describe() or {}).get("TableStatus") not in {"ACTIVE", "UPDATING"}:
        _wait(limit, sleep)
    if made:
        table.put(items.BACKUPS_DUE)
    if is_due := table.get(items.BACKUPS_DUE) is not None:
        _enable_backups(table, limit, sleep)
    done = [actions.remove(items.BACKUPS_DUE)] if is_due else []
    try:
        table.commit([actions.update(items.SCHEMA, _VERSION, where=None), *done])
    except StaleReading:  # another process has done it
        return []
    return names


def _enable_backups(table: Table, limit: Deadline, sleep: Sleep) -> None:
    try:
        while not table.enable_backups():
            _wait(limit, sleep)
    except EngineMisconfigured as error:
        _log.warning("the backups of the store cannot be enabled", extra={"advice": error.advice})


def _wait(limit: Deadline, sleep: Sleep) -> None:
    if not limit.remaining():
        raise EngineUnavailable("The identity store's table is not ready in time.")
    sleep(_INTERVAL)
