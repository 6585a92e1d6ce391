"""SQL statements, counted by tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event


@contextmanager
def executed_statements() -> Iterator[list[str]]:
    """Collects the statements that this thread executes with SQLAlchemy.

    Servers of other tests may still run in other threads of this process.
    """
    statements: list[str] = []
    here = threading.get_ident()

    def executed(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if threading.get_ident() == here:
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", executed)
