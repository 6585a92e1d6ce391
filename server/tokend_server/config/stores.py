"""The kinds of store: the one place that names them."""

from collections.abc import Callable, Mapping
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from tokend_server.config.dynamodb import FORM as DYNAMODB_FORM
from tokend_server.config.dynamodb import read_dynamodb
from tokend_server.config.paths import expanded_of_url
from tokend_server.config.postgresql_url import FORM, read_postgresql, shown_postgresql

#: How the URL of a SQLite database begins.
SQLITE = "sqlite:///"

#: What SQLite appends to the name of a database for the files that it keeps beside it (sqlite.org, "Temporary Files
#: Used By SQLite").
BESIDE_SQLITE = ("-wal", "-shm", "-journal")


class StoreKind(NamedTuple):
    """A kind of store.

    Attributes:
        form: How its URLs look, for people.
        read: Returns a URL as it is used, with the home directory in it; raises ValueError where it is none.
        shown: Returns what people are shown of such a URL, without its secrets.
        module: Has the function `open_configured(config)`, which opens it; it is loaded when the store is configured.
        extra: The extra of the server's distribution that has what the module needs; empty where nothing is.
        settings: The settings in `[store]` that are for this kind, beside those for all.
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
    return SQLITE + expanded_of_url(path)


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
        shown_postgresql,
        "tokend_server.engines.local.stores.postgresql.store",
        extra="postgresql",
        settings=frozenset(
            {"max_connections", "password_file", "rds_iam_region", "database_schema", "timeout_seconds"}
        ),
    ),
}


def kind_of(url: str) -> StoreKind:
    """The kind of store that a URL names.

    Raises:
        ValueError: There is none of that scheme; the text repeats nothing of the URL, which may hold a password.
    """
    kind = STORE_KINDS.get(url.partition(":")[0])
    if kind is None:
        raise ValueError(f"must be {' or '.join(each.form for each in STORE_KINDS.values())}")
    return kind


StoreUrl = Annotated[str, AfterValidator(lambda url: kind_of(url).read(url))]
