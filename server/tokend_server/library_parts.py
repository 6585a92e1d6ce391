"""Makes sure that other libraries have what tokend uses of them beyond their public interfaces."""

from collections.abc import Callable, Mapping
from importlib.metadata import version


class UnsupportedLibraryError(ImportError):
    """Raised when a module is imported that a library is not fit for; the text says which and why."""


def require(distribution: str, parts: Mapping[str, Callable[[], bool]]) -> None:
    """Checks what a library has.

    Args:
        distribution: The library.
        parts: What is needed, in words that follow "without", and whether it is there; an error says that it is not.

    Raises:
        UnsupportedLibraryError: Something is not there.
    """
    if missing := [part for part, is_there in parts.items() if not _holds(is_there)]:
        raise UnsupportedLibraryError(
            f"{distribution} {version(distribution)} cannot be used: tokend does not work without "
            f"{', '.join(missing)}. Install a version that tokend-server was tested with.",
            name=distribution,
        )


def _holds(is_there: Callable[[], bool]) -> bool:
    try:
        return is_there()
    except Exception:  # noqa: BLE001 - whatever fails, it is not as it was
        return False
