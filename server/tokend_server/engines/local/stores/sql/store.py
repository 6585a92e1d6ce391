"""The store on a SQL database, without what only one of them needs."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tokend_server.clock import Deadline
from tokend_server.engines.local.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.store import Change, Reading, StaleReading, login_key
from tokend_server.engines.local.stores.sql import migrations
from tokend_server.engines.local.stores.sql.connections import DriverStatement, ReadConnections
from tokend_server.engines.local.stores.sql.tables import developer_providers, identities, linked_logins, signing_keys
from tokend_server.engines.local.stores.sql.write_turn import NoTurn, WriteTurn
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Identity, Login, Secret

_OWNER = select(linked_logins.c.identity_id).where(linked_logins.c.login_key == bindparam("login_key"))
_OWNERS = select(linked_logins.c.login_key, linked_logins.c.identity_id).where(
    linked_logins.c.login_key.in_(bindparam("login_keys", expanding=True))
)
_WITH_LOGINS = select(identities, linked_logins.c.provider_name, linked_logins.c.user_identifier).outerjoin_from(
    identities, linked_logins
)
_IDENTITY = _WITH_LOGINS.where(identities.c.identity_id == bindparam("identity_id"))
# One statement sees one state of the database, without a transaction.
_READING = _WITH_LOGINS.where(
    identities.c.identity_id.in_(_OWNERS.with_only_columns(linked_logins.c.identity_id))
    | (identities.c.identity_id == bindparam("identity_id"))
).order_by(identities.c.identity_id)

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

#: Seconds that a write waits for other writes before it fails.
LOCK_TIMEOUT = 5.0

#: Seconds that a migration waits for other writes before it fails, and after which it says so.
MIGRATION_PATIENCE = 30.0
_MIGRATION_NEWS = 1.0

#: The execution option that tells a database how many seconds a transaction may wait for its lock.
LOCK_TIMEOUT_OPTION = "tokend_lock_timeout"


_log = logging.getLogger(__name__)


class Medium(Protocol):
    """Where a database keeps what it is given."""

    def check(self) -> None:
        """Makes sure that what is read is what others read.

        Raises:
            EngineUnavailable: It is not.
        """
        ...

    def check_with_log(self) -> None:
        """Makes sure that what is written is what others will read.

        Raises:
            EngineUnavailable: It is not.
        """
        ...


class SqlStore:
    """Identities and signing keys in one SQL database.

    Args:
        readers: Connections in autocommit, so that a read never waits for a writer.
        writes: A pool of connections whose transactions are durable when they are committed.
        medium: Where the database keeps its data.
        turn: Whose turn it is to write.
    """

    def __init__(self, readers: ReadConnections, writes: Engine, medium: Medium, turn: WriteTurn) -> None:
        self._readers = readers
        self._owner = DriverStatement(_OWNER, writes.dialect, readers)
        self._writes = writes
        self._medium = medium
        self._turn = turn

    def close(self) -> None:
        self._readers.close()
        self._writes.dispose()

    def migrate(self) -> list[str]:
        if not self.missing_migrations():
            return []
        # Alembic is slow to load: not while other processes wait for the lock.
        from tokend_server.engines.local.stores.sql.migrations.upgrade import upgrade  # noqa: PLC0415

        try:
            with self._writing(timeout=_MIGRATION_NEWS) as connection:
                return upgrade(connection)
        except EngineUnavailable:
            _log.warning(
                "waiting for the store, which does not let the schema be written",
                extra={"seconds_at_most": MIGRATION_PATIENCE},
            )
        with self._writing(timeout=MIGRATION_PATIENCE) as connection:
            return upgrade(connection)

    def missing_migrations(self) -> list[str]:
        with self._reading() as connection:
            return migrations.missing(connection)

    def check(self) -> None:
        self._medium.check_with_log()
        with self._reading() as connection:
            for table in (identities, linked_logins):
                connection.execute(select(table).limit(1)).first()

    def owners(self, identity_pool_id: str, logins: Iterable[Login]) -> Sequence[str | None]:
        keys = [login_key(identity_pool_id, login) for login in logins]
        if len(keys) == 1:
            return [self._owner_of(keys[0])]
        with self._reading() as connection:
            found = {row.login_key: row.identity_id for row in connection.execute(_OWNERS, {"login_keys": keys})}
        return [found.get(key) for key in keys]

    def read(self, identity_pool_id: str, logins: Iterable[Login], identity_id: str | None = None) -> Reading:
        asked = frozenset(logins)
        keys = [login_key(identity_pool_id, login) for login in asked]
        with self._reading() as connection:
            rows = connection.execute(_READING, {"login_keys": keys, "identity_id": identity_id}).all()
        found = [_identity(list(group)) for _, group in groupby(rows, attrgetter("identity_id"))]
        own = [identity for identity in found if identity.identity_pool_id == identity_pool_id]
        return Reading(
            {login: identity for identity in own for login in asked & identity.logins},
            next((identity for identity in own if identity.identity_id == identity_id), None),
        )

    def identities(
        self, identity_pool_id: str, *, max_results: int, after: str | None, hide_disabled: bool
    ) -> list[Identity]:
        page = select(identities.c.identity_id).where(identities.c.identity_pool_id == identity_pool_id)
        if after is not None:
            page = page.where(identities.c.identity_id > after)
        if hide_disabled:
            page = page.where(identities.c.disabled.is_(False))
        page = page.order_by(identities.c.identity_id).limit(max_results)
        with self._reading() as connection:
            return [
                _identity(rows)
                for identity_id in connection.execute(page).scalars()
                if (rows := connection.execute(_IDENTITY, {"identity_id": identity_id}).all())
            ]

    def developer_providers(self) -> dict[str, str]:
        with self._reading() as connection:
            return _developer_providers(connection)

    def keep_developer_providers(self, decide: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        with self._writing() as connection:
            decided = decide(_developer_providers(connection))
            rows = [{"pool": pool, "name": name} for pool, name in decided.items()]
            if rows:
                connection.execute(_FORGET_DEVELOPER_PROVIDER, rows)
                connection.execute(_KEEP_DEVELOPER_PROVIDER, rows)

    def pools_with_identities(self) -> frozenset[str]:
        with self._reading() as connection:
            return frozenset(connection.execute(select(identities.c.identity_pool_id).distinct()).scalars())

    def has_login_of(self, identity_pool_id: str, provider_name: str) -> bool:
        logins = _LOGINS_OF_POOL.where(linked_logins.c.provider_name == provider_name).limit(1)
        with self._reading() as connection:
            return connection.execute(logins, {"identity_pool_id": identity_pool_id}).first() is not None

    def provider_names(self, identity_pool_id: str) -> frozenset[str]:
        with self._reading() as connection:
            return frozenset(
                connection.execute(_LOGINS_OF_POOL.distinct(), {"identity_pool_id": identity_pool_id}).scalars()
            )

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        with self._writing(deadline) as connection:
            for change in changes:
                _write_identity(connection, change)
            for change in changes:
                _unlink(connection, change)
            for change in changes:
                _link(connection, change)

    def delete(self, identity_id: str) -> bool:
        with self._writing() as connection:
            deleted = connection.execute(delete(identities).where(identities.c.identity_id == identity_id))
            return deleted.rowcount == 1

    def signing_keys(self) -> tuple[SigningKey, ...]:
        with self._reading() as connection:
            return _signing_keys(connection)

    def add_signing_key(self, key: SigningKey) -> None:
        row = {
            "kid": key.kid,
            "algorithm": key.algorithm.value,
            "generation": key.generation,
            "private_key": key.private_key.reveal().encode(),
            "creation_date": key.creation_date,
            "signs_from": key.signs_from,
        }
        with self._writing() as connection:
            connection.execute(insert(signing_keys), row)

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        with self._writing() as connection:
            check(_signing_keys(connection))
            connection.execute(delete(signing_keys).where(signing_keys.c.kid == kid))

    def _owner_of(self, key: bytes) -> str | None:
        try:
            row = self._owner.first(key)
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._medium.check()
        return None if row is None else row[0]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._readers.lend() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._medium.check()

    @contextmanager
    def _writing(self, deadline: Deadline | None = None, timeout: float = LOCK_TIMEOUT) -> Iterator[Connection]:
        if deadline is not None:
            timeout = min(deadline.remaining(), timeout)
        try:
            with self._turn.taken(timeout) as left, self._writes.connect() as unset:
                connection = unset.execution_options(**{LOCK_TIMEOUT_OPTION: left})
                with connection.begin():
                    _check(deadline)
                    self._medium.check_with_log()
                    yield connection
                    self._medium.check_with_log()
                # What is acknowledged is in the file that is there.
                self._medium.check_with_log()
        except NoTurn as error:
            _check(deadline)
            raise EngineUnavailable("The identity store is busy with other writes.") from error
        except IntegrityError as error:
            raise StaleReading from error
        except SQLAlchemyError as error:
            _check(deadline)
            raise unavailable(error) from error


def _check(deadline: Deadline | None) -> None:
    if deadline is not None:
        deadline.check()


def unavailable(error: Exception) -> EngineUnavailable:
    """What a failure of the database, as SQLAlchemy, the driver or the system tells it, is to callers."""
    # The driver's text may hold values; its name for the error says as much.
    cause = getattr(error, "orig", error)
    return EngineUnavailable(
        f"The identity store does not answer ({getattr(cause, 'sqlite_errorname', type(cause).__name__)})."
    )


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


def _signing_keys(connection: Connection) -> tuple[SigningKey, ...]:
    rows = connection.execute(select(signing_keys).order_by(signing_keys.c.algorithm, signing_keys.c.generation))
    return tuple(_signing_key(row) for row in rows)


def _signing_key(row: Row[Any]) -> SigningKey:
    return SigningKey(
        kid=row.kid,
        algorithm=SigningAlgorithm(row.algorithm),
        generation=row.generation,
        private_key=Secret(row.private_key.decode()),
        creation_date=row.creation_date,
        signs_from=row.signs_from,
    )


def _write_identity(connection: Connection, change: Change) -> None:
    after = change.after
    state = {"last_modified_date": after.last_modified_date, "disabled": after.disabled}
    if change.before is None:
        fixed = {"identity_id": after.identity_id, "identity_pool_id": after.identity_pool_id}
        connection.execute(
            insert(identities), {**fixed, **state, "creation_date": after.creation_date, "revision": after.revision}
        )
        return
    as_read = (identities.c.identity_id == after.identity_id) & (identities.c.revision == change.before.revision)
    updated = connection.execute(update(identities).where(as_read).values(**state, revision=change.before.revision + 1))
    if updated.rowcount != 1:
        raise StaleReading


def _unlink(connection: Connection, change: Change) -> None:
    if change.before and (gone := change.before.logins - change.after.logins):
        keys = [login_key(change.after.identity_pool_id, login) for login in gone]
        connection.execute(delete(linked_logins).where(linked_logins.c.login_key.in_(keys)))


def _link(connection: Connection, change: Change) -> None:
    new = change.after.logins - (change.before.logins if change.before else frozenset())
    if new:
        connection.execute(
            insert(linked_logins),
            [
                {
                    "login_key": login_key(change.after.identity_pool_id, login),
                    "identity_id": change.after.identity_id,
                    "provider_name": login.provider_name,
                    "user_identifier": login.user_identifier.reveal().encode(),
                }
                for login in new
            ],
        )
