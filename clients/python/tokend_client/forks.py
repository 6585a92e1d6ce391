"""Marks objects of a parent process as unusable in forked child processes."""

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """An object that cannot be used in a forked child."""

    def after_fork(self) -> None:
        """Marks the object as unusable. Called in the child, where no other thread runs, and locks may stay held."""
        ...


def register(forkable: Forkable) -> None:
    """Registers an object: every child that is forked during its lifetime calls its `after_fork`."""
    if hasattr(os, "register_at_fork"):
        _registered().add(forkable)


@cache
def _registered() -> "WeakSet[Forkable]":
    # Not on import: processes without a client should not be affected.
    registered: WeakSet[Forkable] = WeakSet()

    def notify() -> None:
        for forkable in list(registered):
            forkable.after_fork()

    os.register_at_fork(after_in_child=notify)
    return registered
