"""Parameters from files, to keep secrets off the command line."""

import os
from pathlib import Path

from tokend_client.tokendctl.errors import InvalidInput

_TEXT = "file://"
_BYTES = "fileb://"


def load(text: str) -> str:
    r"""Returns the content of the file, if the text is `file://PATH` or `fileb://PATH`; else the text itself.

    As in the AWS CLI, `~` and environment variables in the path are expanded, and a final newline is kept. The content
    must be UTF-8. `file://` reads it as text: "\r\n" becomes "\n", and a byte-order mark is removed; `fileb://` does
    not change it.

    Raises:
        InvalidInput: The file cannot be read.
    """
    for prefix in (_TEXT, _BYTES):
        if text.startswith(prefix):
            return _read(text.removeprefix(prefix), exact=prefix == _BYTES)
    return text


def _read(name: str, *, exact: bool) -> str:
    # Path.expanduser would raise if there is no home directory.
    path = Path(os.path.expanduser(os.path.expandvars(name)))  # noqa: PTH111
    try:
        return path.read_bytes().decode() if exact else path.read_text("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"cannot read the file {str(path)!r}: {error.strerror}") from error
    except ValueError:
        # A path with a NUL, or content in another encoding. The error itself would contain bytes of the content.
        raise InvalidInput(f"cannot read the file {str(path)!r} as UTF-8 text") from None
