"""Shows the progress of a command on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import click

from tokend_server.clock import Clock

#: Called with the amount of completed work.
Progress: TypeAlias = Callable[[int], None]


@contextmanager
def counted(what: str) -> Iterator[Progress]:
    """Shows a growing number on a terminal."""
    is_terminal = _is_terminal()

    def show(count: int) -> None:
        if is_terminal:
            click.echo(f"\r{what}: {count}", nl=False, err=True)

    yield show
    if is_terminal:
        click.echo(err=True)


@contextmanager
def progress_of(what: str, clock: Clock, total: int) -> Iterator[Progress]:
    """Shows the completed part of a total, the rate, and the remaining time.

    On a terminal this is a bar; otherwise a line is written for each tenth.
    """
    began = clock.monotonic()

    def rate(count: int) -> float:
        return count / max(clock.monotonic() - began, 1e-3)

    if not _is_terminal():
        yield _lines(what, total, rate)
        return
    with click.progressbar(
        length=total, label=what, file=sys.stderr, show_pos=True, item_show_func=lambda text: text
    ) as bar:
        yield lambda count: bar.update(count - bar.pos, f"{rate(count):,.0f}/s")


def _lines(what: str, total: int, rate: Callable[[int], float]) -> Progress:
    tenth = 0

    def show(count: int) -> None:
        nonlocal tenth
        if total and count * 10 // total > tenth:
            tenth = count * 10 // total
            left = max(0, total - count) / rate(count)
            click.echo(f"{what}: {count:,} of {total:,}, {rate(count):,.0f}/s, {left:,.0f} s left", err=True)

    return show


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
