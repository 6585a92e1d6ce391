"""Fills a SQLite store with known users, in the form in which the local engine writes them."""

import time
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from sqlalchemy import create_engine, insert
from tests.bench.messages import PROVIDER, user

from tokend_server.engines.local.store import login_key
from tokend_server.engines.local.stores.sql.tables import identities, linked_logins
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.model import Login, Secret


def fill(database: Path, identity_pool_ids: Iterable[str], users: int) -> None:
    """Makes the database, with an identity for each of the users 0 to `users` in each of the pools."""
    store = open_store(database)
    store.migrate()
    store.close()
    engine = create_engine(f"sqlite:///{database}")
    for identity_pool_id in identity_pool_ids:
        rows = [_rows(identity_pool_id, user(number)) for number in range(users)]
        with engine.begin() as connection:
            connection.execute(insert(identities), [identity for identity, _ in rows])
            connection.execute(insert(linked_logins), [login for _, login in rows])
    engine.dispose()


def _rows(identity_pool_id: str, user_identifier: str) -> tuple[dict[str, object], dict[str, object]]:
    now = int(time.time())
    login = Login(PROVIDER, Secret(user_identifier))
    identity_id = f"{identity_pool_id.partition(':')[0]}:{uuid4()}"
    identity = {
        "identity_id": identity_id,
        "identity_pool_id": identity_pool_id,
        "creation_date": now,
        "last_modified_date": now,
        "disabled": False,
        "revision": 0,
    }
    linked_login: dict[str, object] = {
        "login_key": login_key(identity_pool_id, login),
        "identity_id": identity_id,
        "provider_name": login.provider_name,
        "user_identifier": user_identifier.encode(),
    }
    return identity, linked_login
