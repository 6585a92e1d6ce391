import os
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.contracts.key_manager_contract import KeyManagerContract
from tests.support.kms import encrypted_by, kms, kms_wrapping, new_wrapping_key

from tokend_server.engines.local.keys import wrapping_files
from tokend_server.engines.local.keys.file_wrapping import FileWrapping
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.keys.wrapping_files import KeyFile, PassphraseFile


class TestKeysUnderAKeyInAFile(KeyManagerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def managers(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredKeys, StoredKeys]:
        path = written(tmp_path_factory, os.urandom(32))
        return under(KeyFile(path)), under(KeyFile(path))


class TestKeysUnderAPassphrase(KeyManagerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def managers(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoredKeys, StoredKeys]]:
        path = written(tmp_path_factory, b"correct horse battery staple\n")
        # A derivation at the lowest cost that records may have takes a sixth of the CPU time.
        with patch.dict(wrapping_files._NEW, n=2**14, p=1):  # noqa: SLF001 - no setting changes the cost
            yield under(PassphraseFile(path, os.urandom)), under(PassphraseFile(path, os.urandom))


class TestKeysInEnvelopesOfKms(KeyManagerContract):
    @pytest.fixture(scope="class")
    @classmethod
    def managers(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoredKeys, StoredKeys]]:
        with kms(tmp_path_factory.mktemp("kms")) as upstream:
            config = encrypted_by(upstream, new_wrapping_key(upstream))
            with kms_wrapping(config) as first, kms_wrapping(config) as second:
                yield StoredKeys(first), StoredKeys(second)


def under(file: KeyFile | PassphraseFile) -> StoredKeys:
    return StoredKeys(FileWrapping(file, (), os.urandom))


def written(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> Path:
    path = tmp_path_factory.mktemp("wrapping") / "file"
    path.write_bytes(content)
    return path
