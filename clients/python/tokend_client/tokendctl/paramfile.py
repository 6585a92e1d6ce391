"""Parameters that name the file they are in, so that a secret need not stand on a command line."""

import os
from pathlib import Path

from tokend_client.tokendctl.errors import InvalidInput

_PREFIX = "file://"


def load(text: str) -> str:
    """The content of the file, if the text is `file://PATH`; else the text itself.

    As in the AWS CLI, `~` and environment variables in the path are expanded, and the content is taken as it is, with
    the newline at its end if there is one. It has to be UTF-8; a byte-order mark before it is no part of it.

    Raises:
        InvalidInput: The file cannot be read.
    """
    if not text.startswith(_PREFIX):
        return text
    # Path's own would raise where there is no home directory.
    path = Path(os.path.expanduser(os.path.expandvars(text.removeprefix(_PREFIX))))  # noqa: PTH111
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"cannot read the file {str(path)!r}: {error.strerror}") from error
    except ValueError:
        # A path with a NUL, or content in another encoding; the error itself would repeat bytes of the content.
        raise InvalidInput(f"cannot read the file {str(path)!r} as UTF-8 text") from None
