"""The store on Amazon DynamoDB."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import merge
from itertools import islice

from tokend_server.aws.attempts import Attempts, RetryTransientFailures
from tokend_server.aws.client import aws_client
from tokend_server.clock import Clock, Deadline, SystemClock
from tokend_server.config import Config
from tokend_server.config.dynamodb import table_of
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, KeptPool, Reading
from tokend_server.engines.local.stores.dynamodb import actions, items, schema, templates
from tokend_server.engines.local.stores.dynamodb.actions import MAX_ACTIONS, Action
from tokend_server.engines.local.stores.dynamodb.fault_rows import FAULTS
from tokend_server.engines.local.stores.dynamodb.items import Item
from tokend_server.engines.local.stores.dynamodb.table import Sleep, Table
from tokend_server.errors import ConfigError, EngineUnavailable
from tokend_server.metrics import Metrics
from tokend_server.model import Identity, Login, NumericDate, Secret

#: The maximum number of attempts of inconsistent reads, and of changes that conflict with others.
_ATTEMPTS = 20

#: The maximum number of rows in a transaction, without the version.
_MAX_ROWS = MAX_ACTIONS - 1

#: The number of further connections, for readiness checks, keys, and calls whose threads were replaced.
_OTHER_CONNECTIONS = 4

#: The number of identities that are read at once while all of a pool are listed.
_PAGE = 100


class DynamoDbStore:
    """The `Store` on one table.

    Args:
        table: The table.
        kms_key_id: The key that encrypts a new table; None for the key that AWS manages for DynamoDB.
        clock: The time.
        sleep: Waits while the table is created.

    Attributes:
        table: The table.
    """

    def __init__(self, table: Table, kms_key_id: str | None, clock: Clock, sleep: Sleep = time.sleep) -> None:
        self.table = table
        self._kms_key_id = kms_key_id
        self._clock = clock
        self._sleep = sleep
        self._known_pools: frozenset[str] = frozenset()

    def owners(
        self, identity_pool_id: str, logins: Iterable[Login], deadline: Deadline | None = None
    ) -> Sequence[str | None]:
        requested = tuple(logins)
        if not requested:
            return []
        unique = tuple(dict.fromkeys(requested))  # no item may be requested twice
        found = self.table.get_snapshot([items.key_of_login(identity_pool_id, login) for login in unique], deadline)
        owners = [None if item is None else items.text(item, "identity_id") for item in found]
        if len(unique) == len(requested):
            return owners
        by_login = dict(zip(unique, owners, strict=True))
        return [by_login[login] for login in requested]

    def read(
        self,
        identity_pool_id: str,
        logins: Iterable[Login],
        identity_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Reading:
        requested = tuple(dict.fromkeys(logins))
        for _ in range(_ATTEMPTS):
            owners = dict(zip(requested, self.owners(identity_pool_id, requested, deadline), strict=True))
            if (reading := self._reading(identity_pool_id, owners, identity_id, deadline)) is not None:
                return reading
        raise EngineUnavailable("The identity is being changed by too many calls at once.")

    def find(self, identity_id: str, deadline: Deadline | None = None) -> Identity | None:
        item = self.table.get(items.key_of_identity(identity_id), deadline)
        return None if item is None else items.read_identity(item)

    def identities(
        self, identity_pool_id: str, *, max_results: int, after: str | None, hide_disabled: bool
    ) -> list[Identity]:
        found = self._identities(identity_pool_id, after, min(max_results, _PAGE))
        return list(islice((each for each in found if not (hide_disabled and each.disabled)), max_results))

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        deadline.check()
        for change in changes:
            if change.before is None:
                self._note_pool(change.after.identity_pool_id)
        self.table.commit(actions.for_changes(changes), deadline)

    def delete(self, identity_id: str) -> bool:
        for _ in range(_ATTEMPTS):
            identity = self.find(identity_id)
            if identity is None:
                return False
            with suppress(StaleReading):
                self.table.commit(actions.for_deletion(identity))
                return True
        raise EngineUnavailable("The identity is being changed by too many calls at once.")

    def signing_keys(self) -> tuple[SigningKey, ...]:
        return tuple(map(items.read_signing_key, self.table.query(items.KEYS)))

    def add_signing_key(self, key: SigningKey) -> None:
        self.table.commit(
            [actions.create(items.new_signing_key(key)), actions.increment(items.key_of_version(items.KEYS))]
        )

    def replace_material(self, key: SigningKey, material: Secret) -> None:
        self._replace(key, items.material_values(key.material), items.material_values(material))

    def replace_signs_from(self, key: SigningKey, signs_from: NumericDate) -> None:
        self._replace(key, items.signs_from_values(key.signs_from), items.signs_from_values(signs_from))

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        def decided() -> Iterator[list[Action]]:
            keys = self.signing_keys()
            check(keys)
            for key in keys:
                if key.kid == kid:
                    item = items.key_of_signing_key(key.algorithm, key.generation)
                    yield [actions.delete(item, {"kid": {"S": kid}})]

        self._decide_and_commit(items.KEYS, decided)

    def fetch_records(self) -> Sequence[FetchRecord]:
        return [items.read_fetch_record(item) for item in self.table.query(items.FETCHES)]

    def keep_fetch_record(self, record: FetchRecord) -> None:
        self.table.put(items.new_fetch_record(record))

    def forget_fetch_records(self, before: NumericDate) -> None:
        for record in self.fetch_records():
            if record.noted_at < before:
                expected = {"noted_at": {"N": str(record.noted_at)}}
                with suppress(StaleReading):  # the server has written new notes since
                    self.table.commit([actions.delete(items.key(items.FETCHES, record.server), expected)])

    def developer_providers(self) -> Mapping[str, str]:
        kept = self.table.query(items.DEVELOPER_PROVIDERS)
        return {items.sort_key(item): items.text(item, "provider_name") for item in kept}

    def keep_developer_providers(self, decide: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        def decided() -> Iterator[list[Action]]:
            rows = [
                actions.put({**items.key(items.DEVELOPER_PROVIDERS, pool), "provider_name": {"S": name}})
                for pool, name in decide(self.developer_providers()).items()
            ]
            # Each part is consistent by itself: a decision between two parts sees the first one.
            for start in range(0, len(rows), _MAX_ROWS):
                yield rows[start : start + _MAX_ROWS]

        self._decide_and_commit(items.DEVELOPER_PROVIDERS, decided)

    def kept_pools(self) -> Sequence[KeptPool]:
        return [items.read_kept_pool(item) for item in self.table.query(items.KEPT_POOLS)]

    def kept_pool(self, identity_pool_id: str, deadline: Deadline | None = None) -> KeptPool | None:
        item = self.table.get(items.key(items.KEPT_POOLS, identity_pool_id), deadline)
        return None if item is None else items.read_kept_pool(item)

    def keep_pool(self, before: KeptPool | None, identity_pool_id: str, document: bytes) -> None:
        key = items.key(items.KEPT_POOLS, identity_pool_id)
        values = items.kept_pool_values(document, before.revision + 1 if before else 0)
        actions.check_size({**key, **values}, identity_pool_id)
        if before is None:
            kept = actions.create({**key, **values})
        else:
            kept = actions.update(key, values, {"revision": {"N": str(before.revision)}})
        self.table.commit([kept])

    def forget_pool(self, kept: KeptPool) -> None:
        expected = {"revision": {"N": str(kept.revision)}}
        with suppress(StaleReading):
            self.table.commit([actions.delete(items.key(items.KEPT_POOLS, kept.identity_pool_id), expected)])

    def pools_with_identities(self) -> frozenset[str]:
        pools = map(items.sort_key, self.table.query(items.POOLS))
        return frozenset(pool for pool in pools if next(self._identities(pool, None, 1), None))

    def identity_count(self, identity_pool_id: str) -> int:
        shards = (items.index_partition(identity_pool_id, shard) for shard in range(items.SHARDS))
        return sum(1 for shard in shards for _ in self.table.query(shard))

    def has_login_of(self, identity_pool_id: str, provider_name: str) -> bool:
        return provider_name in self._provider_names(identity_pool_id)

    def provider_names(self, identity_pool_id: str) -> frozenset[str]:
        return frozenset(self._provider_names(identity_pool_id))

    def check(self) -> None:
        if self.table.get(items.SCHEMA) is None:
            raise EngineUnavailable("The identity store has lost its schema.")

    def missing_migrations(self) -> Sequence[str]:
        return schema.missing(self.table)

    def migrate(self) -> Sequence[str]:
        return schema.migrate(self.table, self._kms_key_id, self._clock, self._sleep)

    def start(self, metrics: Metrics) -> None:
        """Does nothing: DynamoDB needs no maintenance."""

    def close(self) -> None:
        self.table.close()

    def _reading(
        self,
        identity_pool_id: str,
        owners: Mapping[Login, str | None],
        identity_id: str | None,
        deadline: Deadline | None,
    ) -> Reading | None:
        """Returns the identities of logins whose owners were read before; None if the owners have changed since.

        The owners and their identities are two reads. Therefore the second read includes the results of the first:
        logins without an owner are read again, and other logins must still be in their identities.
        """
        wanted = {owner for owner in owners.values() if owner} | ({identity_id} if identity_id else set())
        if not wanted:
            return Reading({}, None)
        free = [login for login, owner in owners.items() if owner is None]
        found = self.table.get_snapshot(
            [*map(items.key_of_identity, wanted), *(items.key_of_login(identity_pool_id, login) for login in free)],
            deadline,
        )
        identities = {each.identity_id: each for each in map(items.read_identity, filter(None, found[: len(wanted)]))}
        held = {login: identities.get(owner) for login, owner in owners.items() if owner}
        if any(found[len(wanted) :]) or not all(owner and login in owner.logins for login, owner in held.items()):
            return None
        named = identities.get(identity_id or "")
        return Reading(
            {login: owner for login, owner in held.items() if owner},
            named if named and named.identity_pool_id == identity_pool_id else None,
        )

    def _identities(self, identity_pool_id: str, after: str | None, page: int) -> Iterator[Identity]:
        """Yields the identities of a pool, ordered by id; they are read page by page, as needed."""
        shards = (
            self.table.query(items.index_partition(identity_pool_id, shard), after=after, page=page)
            for shard in range(items.SHARDS)
        )
        ids = merge(*(map(items.sort_key, shard) for shard in shards))
        while some := list(islice(ids, page)):
            found = map(items.read_identity, self.table.get_existing([items.key_of_identity(each) for each in some]))
            yield from sorted(found, key=lambda each: each.identity_id)

    def _replace(self, key: SigningKey, before: Item, after: Item) -> None:
        expected = {"kid": {"S": key.kid}, **before}
        replaced = actions.update(items.key_of_signing_key(key.algorithm, key.generation), after, expected)
        self.table.commit([replaced, actions.increment(items.key_of_version(items.KEYS))])

    def _provider_names(self, identity_pool_id: str) -> Iterator[str]:
        for identity in self._identities(identity_pool_id, None, _PAGE):
            for login in identity.logins:
                yield login.provider_name

    def _note_pool(self, identity_pool_id: str) -> None:
        """Marks that the pool may have identities, before it has any."""
        if identity_pool_id not in self._known_pools:
            self.table.put(items.key(items.POOLS, identity_pool_id))
            self._known_pools |= {identity_pool_id}

    def _decide_and_commit(self, partition: str, decide: Callable[[], Iterable[Sequence[Action]]]) -> None:
        """Commits a decision on the items of a partition, and decides again if they have changed since."""
        key = items.key_of_version(partition)
        for _ in range(_ATTEMPTS):
            # The version is read before the items.
            version = items.version_of(self.table.get(key))
            with suppress(StaleReading):
                for part in decide():
                    self.table.commit([*part, actions.update(key, items.after_version(version), version)])
                    version = items.after_version(version)
                return
        raise EngineUnavailable("The store is being changed by too many processes at once.")


def open_configured(config: Config) -> DynamoDbStore:
    """Returns the store on the table in the configuration, without a request.

    Raises:
        ConfigError: The profile or the endpoint cannot be used.
    """
    settings, clock = table_of(config.store_url), SystemClock()
    connections = config.grpc.threads + _OTHER_CONNECTIONS
    try:
        client, _credentials = aws_client("dynamodb", settings, settings.region, connections=connections, clock=clock)
    except ValueError as error:
        raise ConfigError([f"store.url: {error}"]) from error
    Attempts(client, RetryTransientFailures(FAULTS), max_attempts=settings.max_attempts, clock=clock)
    return DynamoDbStore(Table(client, settings.table, settings.timeout_seconds, clock), settings.kms_key_id, clock)


def check_settings(config: Config) -> None:
    """Checks that the table can be called with these settings, without calling it.

    Raises:
        ConfigError: It cannot.
    """
    open_configured(config).close()


def template(config: Config, language: str) -> str:
    """Returns a template that creates the table with `cloudformation` or `terraform`."""
    return templates.template(table_of(config.store_url), language)
