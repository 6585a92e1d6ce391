import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tokend_server.config import Config, load_config
from tokend_server.errors import ConfigError

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a file of the given text."""

    def load_text(text: str) -> Config:
        path = tmp_path / "tokend.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return load_text


@pytest.fixture
def problems(load: Load) -> Callable[[str], list[str]]:
    """Returns the problems of a file with the given text."""

    def problems_of(text: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            load(text)
        assert str(raised.value) == "\n".join(raised.value.problems)
        return raised.value.problems

    return problems_of


Problems = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two certificates with their keys: `certificate`, `key`, `other_certificate` and `other_key`."""
    directory = tmp_path_factory.mktemp("tls")
    return _certified(directory, "") | _certified(directory, "other_")


def _certified(directory: Path, prefix: str) -> dict[str, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    unsigned = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    dated = unsigned.not_valid_before(start).not_valid_after(start + dt.timedelta(days=36500))
    certificate = dated.serial_number(x509.random_serial_number()).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    pkcs8 = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {f"{prefix}certificate": certificate.public_bytes(pem), f"{prefix}key": pkcs8}
    for file, content in files.items():
        (directory / f"{file}.pem").write_bytes(content)
    return {file: directory / f"{file}.pem" for file in files}
