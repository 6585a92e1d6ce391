"""The locations of filled stores: a file, and servers that run on the load generator's core."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias
from unittest.mock import patch

from tests.bench.fill import fill_by_commits, fill_postgresql, fill_sqlite
from tests.bench.processes import Cores, family_cpu_seconds, on_core
from tests.support.dynamodb import dynoxide_process, table_name, table_url
from tests.support.postgresql import own_server

from tokend_server.model import Identity

#: PostgreSQL's own defaults, where the servers of the tests have others.
DEFAULTS: Mapping[str, str] = MappingProxyType({"autovacuum": "on", "fsync": "on", "shared_buffers": "128MB"})

_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "bench"}


@dataclass(frozen=True)
class Place:
    """The location of a filled store.

    Attributes:
        url: Its URL.
        server: The process of its server, which may have children; None without a server.
    """

    url: str
    server: int | None = None

    def cpu_seconds(self) -> float:
        """Returns the CPU time of the server so far."""
        return 0.0 if self.server is None else family_cpu_seconds(self.server)


#: Fills a place of its kind; what needs files has them in a directory.
Kind: TypeAlias = Callable[[Path, Cores, Iterable[Identity]], AbstractContextManager[Place]]


@contextmanager
def sqlite(directory: Path, _cores: Cores, filled: Iterable[Identity]) -> Iterator[Place]:
    yield Place(fill_sqlite(directory / "tokend.db", filled))


@contextmanager
def postgresql(directory: Path, cores: Cores, filled: Iterable[Identity]) -> Iterator[Place]:
    with on_core(cores.load), own_server(directory, **DEFAULTS) as server:
        yield Place(fill_postgresql(server.url, filled), server.pid)


@contextmanager
def dynamodb(directory: Path, cores: Cores, filled: Iterable[Identity]) -> Iterator[Place]:
    """dynoxide, with its tables in memory.

    Raises:
        pytest.skip.Exception: Cargo is not installed.
    """
    with (
        on_core(cores.load),
        dynoxide_process(directory) as (endpoint, pid),
        patch.dict(os.environ, _CREDENTIALS),
    ):
        yield Place(fill_by_commits(table_url(endpoint, table_name()), filled), pid)
