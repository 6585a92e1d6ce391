"""The environment variables of this process during a call."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """Gives the process only these variables.

    Changes only those that differ, since threads of gRPC's C code may read the environment at the same time, which is
    undefined: `patch.dict` of `unittest.mock` removes all of them and sets them again, twice.
    """
    before = dict(os.environ)
    _change(variables)
    try:
        yield
    finally:
        _change(before)


def _change(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    for name, value in variables.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
