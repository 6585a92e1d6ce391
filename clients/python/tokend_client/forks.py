"""Telling what belongs to a parent process, in a child that was forked from it."""

import os
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that cannot be used in a forked child."""

    def after_fork(self) -> None:
        """Makes it say so; called in the child, where no other thread runs, and locks may stay held."""
        ...


def remember(made: Forkable) -> None:
    """Has `after_fork` called in every child that is forked while it is alive."""
    if hasattr(os, "register_at_fork"):
        _alive().add(made)


@cache
def _alive() -> "WeakSet[Forkable]":
    # Not when this module is imported: a process that makes no client is left alone.
    alive: WeakSet[Forkable] = WeakSet()

    def tell() -> None:
        for made in list(alive):
            made.after_fork()

    os.register_at_fork(after_in_child=tell)
    return alive
