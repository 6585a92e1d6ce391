"""The schema of the store: the table, as it is made, and an item that says which release made what is in it."""

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

#: How many of them a release has to know so that it can work on what is in the table.
_OLDEST = 1

#: Seconds that a migration waits for the table, and between two looks at it.
PATIENCE = 120.0
_INTERVAL = 1.0

_VERSION: items.Item = {"version": {"N": str(len(MIGRATIONS))}, "oldest": {"N": str(_OLDEST)}}

_log = logging.getLogger(__name__)


def table_settings(kms_key_id: str | None) -> Mapping[str, Any]:
    """What CreateTable is given, except for the name.

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
    """The names of the migrations that are not yet applied, oldest first.

    The schema may be that of a newer release, as long as that has taken nothing away that this one needs.

    Raises:
        ConfigError: It has.
        EngineUnavailable: DynamoDB does not answer.
    """
    item = table.get_if_table(items.SCHEMA)
    version = items.number(item, "version") if item else 0
    if item and items.number(item, "oldest") > len(MIGRATIONS):
        raise ConfigError([f"store: its schema ({version}) is newer than this release"])
    return list(MIGRATIONS[version:])


def migrate(table: Table, kms_key_id: str | None, clock: Clock, sleep: Sleep) -> list[str]:
    """Makes the table unless it is there, and marks it as this release's.

    A table that is there stays as whoever made it has set it up; one that was made here and whose backups could not be
    turned on has that yet to come.

    Raises:
        ConfigError: As `missing`.
        EngineUnavailable: DynamoDB does not answer, or the table is not ready in time.
    """
    names = missing(table)
    if not names:
        return []
    limit = Deadline(clock, clock.monotonic() + PATIENCE)
    made = table.describe() is None and table.make(table_settings(kms_key_id))
    while (table.describe() or {}).get("TableStatus") not in {"ACTIVE", "UPDATING"}:
        _wait(limit, sleep)
    if made:
        table.put(items.BACKUPS_DUE)
    if is_due := table.get(items.BACKUPS_DUE) is not None:
        _keep_backups(table, limit, sleep)
    done = [actions.remove(items.BACKUPS_DUE)] if is_due else []
    try:
        table.commit([actions.update(items.SCHEMA, _VERSION, where=None), *done])
    except StaleReading:  # another process has done it
        return []
    return names


def _keep_backups(table: Table, limit: Deadline, sleep: Sleep) -> None:
    try:
        while not table.keep_backups():
            _wait(limit, sleep)
    except EngineMisconfigured as error:
        _log.warning("the store has no backups of its own", extra={"advice": error.advice})


def _wait(limit: Deadline, sleep: Sleep) -> None:
    if not limit.remaining():
        raise EngineUnavailable("The identity store's table is not ready in time.")
    sleep(_INTERVAL)
