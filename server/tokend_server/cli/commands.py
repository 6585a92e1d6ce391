"""Commands that are loaded when they are used: most need only a part of tokend, and `serve` only its own store."""

import gc
from collections.abc import Iterator, Mapping
from importlib import import_module

import click


class Commands(Mapping[str, click.Command]):
    """The commands of a `click.Group`.

    Args:
        modules: The full name of the module of each command, by the command's name. The module has a function with the
            command's name, with underscores instead of hyphens.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = getattr(import_module(self._modules[name]), name.replace("-", "_"))
        if not gc.isenabled():  # `tokend_server.__main__` has disabled it
            gc.freeze()  # no collection visits the loaded modules, which stay
            gc.enable()
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
