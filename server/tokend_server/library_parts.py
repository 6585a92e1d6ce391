"""Checks that libraries have the private interfaces that tokend uses."""

from collections.abc import Callable, Mapping
from importlib.metadata import version


class UnsupportedLibraryError(ImportError):
    """Raised at the import of a module whose library lacks a required interface; the text names both."""


def require(distribution: str, parts: Mapping[str, Callable[[], bool]]) -> None:
    """Checks that a library has some interfaces.

    Args:
        distribution: The library.
        parts: The required interfaces, in words that follow "without", with their checks; an error means absence.

    Raises:
        UnsupportedLibraryError: An interface is missing.
    """
    if missing := [part for part, is_present in parts.items() if not _is_present(is_present)]:
        raise UnsupportedLibraryError(
            f"{distribution} {version(distribution)} cannot be used: tokend does not work without "
            f"{', '.join(missing)}. Install a version that tokend-server was tested with.",
            name=distribution,
        )


def _is_present(is_present: Callable[[], bool]) -> bool:
    try:
        return is_present()
    except Exception:  # noqa: BLE001 - any error means that the interface has changed
        return False
