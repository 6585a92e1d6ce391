"""The key policy of keys that are created in AWS KMS."""

from collections.abc import Iterator
from pathlib import Path

import orjson

from tokend_server.config import Config


def key_policy(path: Path) -> str:
    """Returns the key policy in a file.

    Raises:
        ValueError: It cannot be read, or is not a JSON object; the text names the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        is_object = isinstance(orjson.loads(text), dict)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValueError:
        is_object = False
    if not is_object:
        raise ValueError(f"{path}: must contain a key policy, which is a JSON object: KMS would not create a key")
    return text


def policy_problems(config: Config) -> Iterator[str]:
    """Yields the problems of the key policy, as `setting: problem`."""
    path = config.keys.kms.key_policy_file
    if path is None:
        return
    try:
        key_policy(path)
    except ValueError as error:
        yield f"keys.kms.key_policy_file: {error}"
