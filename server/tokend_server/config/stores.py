"""The kinds of store; the only module that lists them."""

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from tokend_server.config.dynamodb import FORM as DYNAMODB_FORM
from tokend_server.config.dynamodb import read_dynamodb
from tokend_server.config.paths import expand_url_path
from tokend_server.config.postgresql_url import FORM, read_postgresql, redacted_postgresql

#: The prefix of URLs of SQLite databases.
SQLITE = "sqlite:///"

#: The suffixes of the further files of a SQLite database (sqlite.org, "Temporary Files Used By SQLite").
SQLITE_FILE_SUFFIXES = ("-wal", "-shm", "-journal")


class StoreKind(NamedTuple):
    """A kind of store.

    Attributes:
        form: The form of its URLs in error texts.
        read: Validates a URL and expands the home directory in it; raises ValueError if it is not valid.
        shown: Returns a URL without its secrets.
        module: The module whose function `open_configured(config)` opens it; it is loaded only if it is needed.
        extra: The extra of the server's distribution that the module needs; empty if it needs none.
        settings: The settings in `[store]` that are only for this kind.
    """

    form: str
    read: Callable[[str], str]
    shown: Callable[[str], str]
    module: str
    extra: str = ""
    settings: frozenset[str] = frozenset()


def _read_sqlite(url: str) -> str:
    path = url.removeprefix(SQLITE)
    if path == url or not path or path.startswith(":") or path.endswith("/"):
        raise ValueError(f"must be {STORE_KINDS['sqlite'].form}")
    return SQLITE + expand_url_path(path)


#: The kinds by the scheme of their URLs.
STORE_KINDS: Mapping[str, StoreKind] = {
    "sqlite": StoreKind(
        "sqlite:///PATH, with a file that outlives the process",
        _read_sqlite,
        lambda url: url.removeprefix(SQLITE),
        "tokend_server.engines.local.stores.sqlite.store",
    ),
    "dynamodb": StoreKind(
        DYNAMODB_FORM,
        read_dynamodb,
        str,
        "tokend_server.engines.local.stores.dynamodb.store",
    ),
    "postgresql": StoreKind(
        FORM,
        read_postgresql,
        redacted_postgresql,
        "tokend_server.engines.local.stores.postgresql.store",
        extra="postgresql",
        settings=frozenset(
            {"max_connections", "password_file", "rds_iam_region", "database_schema", "timeout_seconds"}
        ),
    ),
}


def kind_of(url: str) -> StoreKind:
    """Returns the kind of store of a URL.

    Raises:
        ValueError: There is no kind with its scheme; the text does not contain the URL, which may have a password.
    """
    kind = STORE_KINDS.get(url.partition(":")[0])
    if kind is None:
        raise ValueError(f"must be {' or '.join(each.form for each in STORE_KINDS.values())}")
    return kind


StoreUrl = Annotated[str, AfterValidator(lambda url: kind_of(url).read(url))]
