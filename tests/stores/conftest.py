from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from tests.stores.opened import Opened

from tokend_server.config import Config, Store
from tokend_server.engines.local.stores.opening import open_migrated_store


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens stores by their URLs, and closes them at the end."""
    with ExitStack() as undo:
        yield lambda url, **settings: undo.enter_context(
            closing(open_migrated_store(Config(store=Store.model_validate({"url": url, **settings}))))
        )
