"""The table: its creation, by one process or several, and the settings of tables that others have created."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import boto3
import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.dynamodb.conftest import Opened
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_script import Success
from tests.fakes.dynamodb_upstream import DynamoDbUpstream, failure
from tests.support.dynamodb import table_name, table_url

from tokend_server import config
from tokend_server.engines.local.stores.dynamodb import items, schema
from tokend_server.engines.local.stores.dynamodb.store import DynamoDbStore, open_configured
from tokend_server.errors import ConfigError, EngineCredentialsRejected, EngineMisconfigured


def configured(upstream: DynamoDbUpstream, **parameters: object) -> config.Config:
    url = table_url(upstream.url, table_name(), **parameters)
    return config.Config(store=config.Store.model_validate({"url": url}))


def table_of(configuration: config.Config) -> str:
    return configuration.store_url.removeprefix("dynamodb://").partition("?")[0]


def test_a_table_is_created_with_deletion_protection_encryption_and_backups(upstream: DynamoDbUpstream) -> None:
    configuration = configured(upstream, kms_key_id="alias/tokend")
    with closing(open_configured(configuration)) as store:
        assert store.migrate() == ["0001"]
    (made,) = (each.body for each in upstream.requests if each.operation == "CreateTable")
    assert made["BillingMode"] == "PAY_PER_REQUEST"
    assert made["DeletionProtectionEnabled"] is True
    assert made["SSESpecification"] == {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/tokend"}
    assert backups_of(configuration, upstream) == "ENABLED"


def backups_of(configuration: config.Config, upstream: DynamoDbUpstream) -> str:
    """Returns the status of point-in-time recovery."""
    client = boto3.client("dynamodb", region_name="eu-west-1", endpoint_url=upstream.url)
    with closing(client):
        backups = client.describe_continuous_backups(TableName=table_of(configuration))
    described: str = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"][
        "PointInTimeRecoveryStatus"
    ]
    return described


def test_a_later_migration_enables_backups_after_failures(upstream: DynamoDbUpstream) -> None:
    configuration = configured(upstream)
    refused = failure("AccessDeniedException")
    upstream.script([*[Success()] * 6, refused])
    for others in (["CreateTable", "DescribeTable", "PutItem", "GetItem"], ["DescribeTable", "GetItem"]):
        before = len(upstream.requests)
        with closing(open_configured(configuration)) as store, pytest.raises(EngineCredentialsRejected):
            store.migrate()
        assert upstream.operations[before:] == ["GetItem", "DescribeTable", *others, "UpdateContinuousBackups"]
        upstream.script([*[Success()] * 4, refused])
    upstream.script([])
    with closing(open_configured(configuration)) as store:
        assert store.migrate() == ["0001"]
        assert store.table.get(items.BACKUPS_DUE) is None
    assert backups_of(configuration, upstream) == "ENABLED"


def test_a_key_is_aws_own_unless_one_is_named(upstream: DynamoDbUpstream) -> None:
    with closing(open_configured(configured(upstream))) as store:
        store.migrate()
    (made,) = (each.body for each in upstream.requests if each.operation == "CreateTable")
    assert made["SSESpecification"] == {"Enabled": True, "SSEType": "KMS"}


@pytest.mark.timeout(BUILD_TIMEOUT)
def test_a_double_without_backups_is_used_with_a_warning(
    faithful: DynamoDbUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_configured(configured(faithful))) as store, caplog.at_level(logging.WARNING, "tokend_server"):
        assert store.migrate() == ["0001"]
        store.check()
    assert [record.message for record in caplog.records] == ["the backups of the store cannot be enabled"]


def test_processes_that_start_together_make_one_table(upstream: DynamoDbUpstream) -> None:
    configuration = configured(upstream)

    def migrate(_number: int) -> list[str]:
        with closing(open_configured(configuration)) as store:
            made = list(store.migrate())
            store.check()
            return made

    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(migrate, range(3)))
    assert sorted(made) == [[], [], ["0001"]]


def test_a_table_of_others_stays_as_they_have_set_it_up(upstream: DynamoDbUpstream) -> None:
    configuration = configured(upstream)
    client = boto3.client("dynamodb", region_name="eu-west-1", endpoint_url=upstream.url)
    with closing(client):
        settings = schema.table_settings(None)
        kept = {name: settings[name] for name in ("AttributeDefinitions", "KeySchema", "BillingMode")}
        client.create_table(TableName=table_of(configuration), **kept)
    before = len(upstream.requests)
    with closing(open_configured(configuration)) as store:
        assert store.migrate() == ["0001"]
        assert store.missing_migrations() == []
    called = set(upstream.operations[before:])
    assert called == {"GetItem", "DescribeTable", "TransactWriteItems"}


def test_a_table_that_is_not_there_is_a_fault_of_the_configuration(upstream: DynamoDbUpstream) -> None:
    with closing(open_configured(configured(upstream))) as store, pytest.raises(EngineMisconfigured) as raised:
        store.check()
    assert "tokend migrate" in raised.value.advice


def test_a_schema_of_a_newer_release_is_refused(
    upstream: DynamoDbUpstream, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(upstream)
    monkeypatch.setattr(schema, "MIGRATIONS", ())
    store = opened(upstream, migrated=False)
    with pytest.raises(ConfigError, match="newer than this release"):
        store.missing_migrations()
    with pytest.raises(ConfigError, match="newer than this release"):
        store.migrate()


def test_compatible_additions_of_a_later_release_are_accepted(
    upstream: DynamoDbUpstream, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "a later one"))
        later.setattr(schema, "_VERSION", {"version": {"N": "2"}, "oldest": {"N": "1"}})
        opened(upstream)
    store = opened(upstream)
    assert store.missing_migrations() == []
    store.check()


def test_a_table_that_is_never_ready_times_out(upstream: DynamoDbUpstream) -> None:
    clock = FakeClock()
    upstream.always(failure("ResourceNotFoundException"))
    with closing(open_configured(configured(upstream))) as store:
        patient = DynamoDbStore(store.table, None, clock, clock.advance)
        with pytest.raises(EngineMisconfigured):  # as what answers makes no table either
            patient.migrate()
    assert clock.monotonic() >= schema.READY_TIMEOUT
