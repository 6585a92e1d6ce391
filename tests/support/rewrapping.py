"""`tokend keys rewrap` on any kind of store."""

import os
from pathlib import Path

from tests.support.tokend import done


def rewrap_and_check(config: Path, directory: Path) -> None:
    """Encrypts the keys of a configuration's store, decrypts them again, and checks the changes.

    Args:
        config: The configuration; another table may follow it.
        directory: The directory for the wrapping key.
    """
    key_file, encrypted, back = (directory / name for name in ("wrapping.key", "encrypted.toml", "back.toml"))
    key_file.write_bytes(os.urandom(32))
    text = config.read_text(encoding="utf-8")
    encrypted.write_text(f'{text}\n[keys.encryption]\nmethod = "file"\nkey_file = "{key_file}"\n', encoding="utf-8")
    back.write_text(f'{text}\n[keys.encryption]\nprevious_key_files = ["{key_file}"]\n', encoding="utf-8")
    for _ in range(2):
        done("keys", "add", "ES256", "--config", str(config))
    before = done("keys", "list", "--config", str(config))
    for there, method in ((encrypted, "file"), (back, "clear")):
        for did in ("rewrapped", "is current"):
            shown = done("keys", "rewrap", "--config", str(there))["Keys"]
            assert [(each["Rewrap"], each["Method"]) for each in shown] == [(did, method)] * 2
        assert done("keys", "list", "--config", str(config)) == before
