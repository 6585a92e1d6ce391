"""The store on a SQL database, independent of the kind of database."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Update, bindparam, delete, func, insert, select, update

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, KeptPool, Reading, login_key
from tokend_server.engines.local.stores.sql import migrations
from tokend_server.engines.local.stores.sql.database import (
    NEW_IDENTITIES,
    NEW_LOGINS,
    OWNER,
    Database,
    NewRows,
    insert_rows,
)
from tokend_server.engines.local.stores.sql.tables import (
    developer_providers,
    identities,
    identity_pools,
    key_set_fetches,
    linked_logins,
    signing_keys,
)
from tokend_server.errors import EngineUnavailable
from tokend_server.metrics import Metrics
from tokend_server.model import Identity, Login, NumericDate, Secret

_OWNERS = select(linked_logins.c.login_key, linked_logins.c.identity_id).where(
    linked_logins.c.login_key.in_(bindparam("login_keys", expanding=True))
)
_WITH_LOGINS = select(identities, linked_logins.c.provider_name, linked_logins.c.user_identifier).outerjoin_from(
    identities, linked_logins
)
_IDENTITY_BY_ID = _WITH_LOGINS.where(identities.c.identity_id == bindparam("identity_id"))


def _reading(owners: Select[tuple[str]]) -> Select[Any]:
    """Returns a statement that reads the owners of logins, and the identity with an id.

    A single statement sees a consistent snapshot without a transaction. With an OR instead of the union, PostgreSQL
    would scan all identities.
    """
    wanted = owners.union_all(select(bindparam("identity_id", type_=identities.c.identity_id.type)))
    return _WITH_LOGINS.where(identities.c.identity_id.in_(wanted)).order_by(identities.c.identity_id)


# SQLAlchemy renders a statement with a list of keys each time, which costs more than executing it; most calls have one.
_READING_BY_KEY, _READING_BY_KEYS = _reading(OWNER), _reading(_OWNERS.with_only_columns(linked_logins.c.identity_id))

_CHANGE_IDENTITY = (
    update(identities)
    .where((identities.c.identity_id == bindparam("id")) & (identities.c.revision == bindparam("read_revision")))
    .values({name: bindparam(name) for name in ("last_modified_date", "disabled", "revision")})
)
_UNLINK = delete(linked_logins).where(linked_logins.c.login_key == bindparam("key"))

_LOGINS_OF_POOL = (
    select(linked_logins.c.provider_name)
    .join(identities)
    .where(identities.c.identity_pool_id == bindparam("identity_pool_id"))
)

_FORGET_DEVELOPER_PROVIDER = delete(developer_providers).where(
    developer_providers.c.identity_pool_id == bindparam("pool")
)
_KEEP_DEVELOPER_PROVIDER = insert(developer_providers).values(
    identity_pool_id=bindparam("pool"), provider_name=bindparam("name")
)

# SQLAlchemy takes half of the time of these reads to build the statement and its key of the statement cache.
_SIGNING_KEYS = select(signing_keys).order_by(signing_keys.c.algorithm, signing_keys.c.generation)
_FETCH_RECORDS = select(key_set_fetches).order_by(key_set_fetches.c.server)

#: Seconds that a migration waits for other writes before it fails, and before it logs that it waits.
MIGRATION_TIMEOUT = 30.0
_MIGRATION_WARNING_AFTER = 1.0

_log = logging.getLogger(__name__)


class SqlStore:
    """Identities and signing keys in one SQL database.

    Transactions lock rows in the same order, so that there are no deadlocks.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, metrics: Metrics) -> None:
        """Does nothing: a database needs no work of its clients."""

    def close(self) -> None:
        self._database.close()

    def migrate(self) -> list[str]:
        if not self.missing_migrations():
            return []
        # Alembic is slow to load, so it is loaded before other processes wait for the lock.
        from tokend_server.engines.local.stores.sql.migrations.upgrade import upgrade  # noqa: PLC0415

        try:
            return self._database.migrate(upgrade, _MIGRATION_WARNING_AFTER)
        except EngineUnavailable:
            _log.warning(
                "waiting for the store, in which other writes lock the schema",
                extra={"seconds_at_most": MIGRATION_TIMEOUT},
            )
        return self._database.migrate(upgrade, MIGRATION_TIMEOUT)

    def missing_migrations(self) -> list[str]:
        return self._database.read(migrations.missing)

    def check(self) -> None:
        self._database.read(_check_readable)

    def owners(
        self, identity_pool_id: str, logins: Iterable[Login], deadline: Deadline | None = None
    ) -> Sequence[str | None]:
        keys = [login_key(identity_pool_id, login) for login in logins]
        if len(keys) == 1:
            return [self._database.owner(keys[0], deadline)]
        rows = self._database.read(lambda connection: connection.execute(_OWNERS, {"login_keys": keys}).all(), deadline)
        found = {row.login_key: row.identity_id for row in rows}
        return [found.get(key) for key in keys]

    def read(
        self,
        identity_pool_id: str,
        logins: Iterable[Login],
        identity_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Reading:
        requested = frozenset(logins)
        keys = [login_key(identity_pool_id, login) for login in requested]
        if len(keys) == 1:
            found = self._select_identities(
                _READING_BY_KEY, {"login_key": keys[0], "identity_id": identity_id}, deadline
            )
        else:
            found = self._select_identities(
                _READING_BY_KEYS, {"login_keys": keys, "identity_id": identity_id}, deadline
            )
        own = [identity for identity in found if identity.identity_pool_id == identity_pool_id]
        return Reading(
            {login: identity for identity in own for login in requested & identity.logins},
            next((identity for identity in own if identity.identity_id == identity_id), None),
        )

    def find(self, identity_id: str, deadline: Deadline | None = None) -> Identity | None:
        return next(iter(self._select_identities(_IDENTITY_BY_ID, {"identity_id": identity_id}, deadline)), None)

    def identities(
        self, identity_pool_id: str, *, max_results: int, after: str | None, hide_disabled: bool
    ) -> list[Identity]:
        page = select(identities.c.identity_id).where(identities.c.identity_pool_id == identity_pool_id)
        if after is not None:
            page = page.where(identities.c.identity_id > after)
        if hide_disabled:
            page = page.where(identities.c.disabled.is_(False))
        page = page.order_by(identities.c.identity_id).limit(max_results)
        statement = _WITH_LOGINS.where(identities.c.identity_id.in_(page)).order_by(identities.c.identity_id)
        return _identities(self._database.read(lambda connection: connection.execute(statement).all()))

    def developer_providers(self) -> dict[str, str]:
        return self._database.read(_developer_providers)

    def keep_developer_providers(self, decide: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        def keep(connection: Connection) -> None:
            decided = decide(_developer_providers(connection))
            rows = [{"pool": pool, "name": name} for pool, name in decided.items()]
            if rows:
                connection.execute(_FORGET_DEVELOPER_PROVIDER, rows)
                connection.execute(_KEEP_DEVELOPER_PROVIDER, rows)

        self._database.write_serializable(keep)

    def kept_pools(self) -> Sequence[KeptPool]:
        kept = select(identity_pools).order_by(identity_pools.c.identity_pool_id)
        rows = self._database.read(lambda connection: connection.execute(kept).all())
        return [_kept_pool(row) for row in rows]

    def kept_pool(self, identity_pool_id: str, deadline: Deadline | None = None) -> KeptPool | None:
        one = select(identity_pools).where(identity_pools.c.identity_pool_id == identity_pool_id)
        row = self._database.read(lambda connection: connection.execute(one).first(), deadline)
        return None if row is None else _kept_pool(row)

    def keep_pool(self, before: KeptPool | None, identity_pool_id: str, document: bytes) -> None:
        new = {"identity_pool_id": identity_pool_id, "revision": 0, "document": document}

        def keep(connection: Connection) -> None:
            if before is None:
                connection.execute(insert(identity_pools), new)
                return
            changed = update(identity_pools).where(_is_unchanged(before))
            replacement = changed.values(document=document, revision=before.revision + 1)
            if connection.execute(replacement).rowcount != 1:
                raise StaleReading

        self._database.write(keep)

    def forget_pool(self, kept: KeptPool) -> None:
        one = delete(identity_pools).where(_is_unchanged(kept))
        self._database.write_serializable(lambda connection: connection.execute(one))

    def pools_with_identities(self) -> frozenset[str]:
        pools = select(identities.c.identity_pool_id).distinct()
        return self._database.read_all(lambda connection: frozenset(connection.execute(pools).scalars()))

    def identity_count(self, identity_pool_id: str) -> int:
        count = select(func.count()).where(identities.c.identity_pool_id == identity_pool_id)
        return self._database.read_all(lambda connection: connection.execute(count).scalar_one())

    def has_login_of(self, identity_pool_id: str, provider_name: str) -> bool:
        logins = _LOGINS_OF_POOL.where(linked_logins.c.provider_name == provider_name).limit(1)
        pool = {"identity_pool_id": identity_pool_id}
        return self._database.read_all(lambda connection: connection.execute(logins, pool).first() is not None)

    def provider_names(self, identity_pool_id: str) -> frozenset[str]:
        names, pool = _LOGINS_OF_POOL.distinct(), {"identity_pool_id": identity_pool_id}
        return self._database.read_all(lambda connection: frozenset(connection.execute(names, pool).scalars()))

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        ordered = sorted(changes, key=lambda change: change.after.identity_id)
        if all(change.before is None for change in ordered):
            self._database.insert(_new_rows(ordered), deadline)
        else:
            self._database.write(lambda connection: _apply(connection, ordered), deadline)

    def delete(self, identity_id: str) -> bool:
        one = delete(identities).where(identities.c.identity_id == identity_id)
        return self._database.write_serializable(lambda connection: connection.execute(one).rowcount == 1)

    def signing_keys(self) -> tuple[SigningKey, ...]:
        return self._database.read(_signing_keys)

    def add_signing_key(self, key: SigningKey) -> None:
        row = {
            "kid": key.kid,
            "algorithm": key.algorithm.value,
            "generation": key.generation,
            "private_key": _to_column(key.material),
            "creation_date": key.creation_date,
            "signs_from": key.signs_from,
        }
        self._database.write(lambda connection: connection.execute(insert(signing_keys), row))

    def replace_material(self, key: SigningKey, material: Secret) -> None:
        is_unchanged = signing_keys.c.private_key == _to_column(key.material)
        self._replace(key, update(signing_keys).where(is_unchanged).values(private_key=_to_column(material)))

    def replace_signs_from(self, key: SigningKey, signs_from: NumericDate) -> None:
        is_unchanged = signing_keys.c.signs_from == key.signs_from
        self._replace(key, update(signing_keys).where(is_unchanged).values(signs_from=signs_from))

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        def remove(connection: Connection) -> None:
            check(_signing_keys(connection))
            connection.execute(delete(signing_keys).where(signing_keys.c.kid == kid))

        self._database.write_serializable(remove)

    def fetch_records(self) -> Sequence[FetchRecord]:
        rows = self._database.read(lambda connection: connection.execute(_FETCH_RECORDS).all())
        return [FetchRecord(row.server, row.noted_at, row.document) for row in rows]

    def keep_fetch_record(self, record: FetchRecord) -> None:
        def keep(connection: Connection) -> None:
            connection.execute(delete(key_set_fetches).where(key_set_fetches.c.server == record.server))
            connection.execute(insert(key_set_fetches), record._asdict())

        self._database.write_serializable(keep)

    def forget_fetch_records(self, before: NumericDate) -> None:
        old = delete(key_set_fetches).where(key_set_fetches.c.noted_at < before)
        self._database.write_serializable(lambda connection: connection.execute(old))

    def _select_identities(
        self, statement: Select[Any], bound: Mapping[str, Any], deadline: Deadline | None
    ) -> list[Identity]:
        return _identities(self._database.read(lambda connection: connection.execute(statement, bound).all(), deadline))

    def _replace(self, key: SigningKey, replacement: Update) -> None:
        replacement = replacement.where(signing_keys.c.kid == key.kid)

        def replace(connection: Connection) -> None:
            if connection.execute(replacement).rowcount != 1:
                raise StaleReading

        self._database.write(replace)


def _check_readable(connection: Connection) -> None:
    for table in (identities, linked_logins):
        connection.execute(select(table).limit(1)).first()


def _identities(rows: Iterable[Row[Any]]) -> list[Identity]:
    """Returns the identities in rows that are ordered by identity."""
    return [_identity(list(group)) for _, group in groupby(rows, attrgetter("identity_id"))]


def _identity(rows: Sequence[Row[Any]]) -> Identity:
    first = rows[0]
    return Identity(
        identity_id=first.identity_id,
        identity_pool_id=first.identity_pool_id,
        creation_date=first.creation_date,
        last_modified_date=first.last_modified_date,
        logins=frozenset(
            Login(row.provider_name, Secret(row.user_identifier.decode())) for row in rows if row.provider_name
        ),
        disabled=first.disabled,
        revision=first.revision,
    )


def _developer_providers(connection: Connection) -> dict[str, str]:
    return {row.identity_pool_id: row.provider_name for row in connection.execute(select(developer_providers))}


def _kept_pool(row: Row[Any]) -> KeptPool:
    return KeptPool(row.identity_pool_id, row.document, row.revision)


def _is_unchanged(kept: KeptPool) -> ColumnElement[bool]:
    own, revision = identity_pools.c.identity_pool_id, identity_pools.c.revision
    return (own == kept.identity_pool_id) & (revision == kept.revision)


def _to_column(material: Secret) -> bytes:
    return material.reveal().encode()


def _signing_keys(connection: Connection) -> tuple[SigningKey, ...]:
    return tuple(_signing_key(row) for row in connection.execute(_SIGNING_KEYS))


def _signing_key(row: Row[Any]) -> SigningKey:
    return SigningKey(
        kid=row.kid,
        algorithm=SigningAlgorithm(row.algorithm),
        generation=row.generation,
        material=Secret(row.private_key.decode()),
        creation_date=row.creation_date,
        signs_from=row.signs_from,
    )


def _apply(connection: Connection, changes: Sequence[Change]) -> None:
    new = _new_rows(changes)
    insert_rows(connection, {NEW_IDENTITIES: new[NEW_IDENTITIES]})
    updated = [(change.before, change.after) for change in changes if change.before]
    for before, after in updated:
        _update_identity(connection, before, after)
    for before, after in updated:
        _unlink(connection, before, after)
    insert_rows(connection, {NEW_LOGINS: new[NEW_LOGINS]})


def _new_rows(changes: Sequence[Change]) -> NewRows:
    return {
        NEW_IDENTITIES: [_new_identity(change.after) for change in changes if change.before is None],
        NEW_LOGINS: sorted((row for change in changes for row in _new_links(change)), key=itemgetter("login_key")),
    }


def _new_identity(identity: Identity) -> dict[str, Any]:
    return {
        "identity_id": identity.identity_id,
        "identity_pool_id": identity.identity_pool_id,
        "creation_date": identity.creation_date,
        "last_modified_date": identity.last_modified_date,
        "disabled": identity.disabled,
        "revision": identity.revision,
    }


def _update_identity(connection: Connection, before: Identity, after: Identity) -> None:
    changed = {
        "id": after.identity_id,
        "read_revision": before.revision,
        "last_modified_date": after.last_modified_date,
        "disabled": after.disabled,
        "revision": before.revision + 1,
    }
    if connection.execute(_CHANGE_IDENTITY, changed).rowcount != 1:
        raise StaleReading


def _unlink(connection: Connection, before: Identity, after: Identity) -> None:
    if removed := before.logins - after.logins:
        keys = sorted(login_key(after.identity_pool_id, login) for login in removed)
        connection.execute(_UNLINK, [{"key": key} for key in keys])


def _new_links(change: Change) -> list[dict[str, Any]]:
    new = change.after.logins - (change.before.logins if change.before else frozenset())
    return [
        {
            "login_key": login_key(change.after.identity_pool_id, login),
            "identity_id": change.after.identity_id,
            "provider_name": login.provider_name,
            "user_identifier": login.user_identifier.reveal().encode(),
        }
        for login in new
    ]
