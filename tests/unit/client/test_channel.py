"""TLS over real gRPC, with certificates made for the test."""

import datetime as dt
import ipaddress
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService, serving

POOL = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
DAY = dt.timedelta(days=1)


def self_signed() -> tuple[bytes, bytes]:
    """PEM of a key and a certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokend")])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), today - DAY, today + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(encoding)


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return tmp_path / "ca.pem"


@pytest.fixture
def service(ca_file: Path) -> Iterator[FakeDeveloperIdentityService]:
    private, certificate = self_signed()
    ca_file.write_bytes(certificate)
    with serving(credentials=grpc.ssl_server_credentials([(private, certificate)])) as fake:
        yield fake


def lookup(
    service: FakeDeveloperIdentityService, *options: str, stdin: IO[bytes] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = str(Path(sysconfig.get_path("scripts")) / "tokendctl")
    words = [command, "lookup-developer-identity", "--identity-pool-id", POOL, "--endpoint", service.endpoint, *options]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GRPC_", "SSL_"))}
    return subprocess.run(words, env=inherited | environment, stdin=stdin, capture_output=True, text=True, check=False)


def test_a_ca_file_is_trusted(service: FakeDeveloperIdentityService, ca_file: Path) -> None:
    done = lookup(service, "--ca-file", str(ca_file))
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_ca_from_a_pipe_is_trusted(service: FakeDeveloperIdentityService, ca_file: Path, tmp_path: Path) -> None:
    done = lookup_with_pipes(service, "--ca-file", ca_file)
    assert (done.stderr, done.returncode) == ("", 0)
    _, another = self_signed()
    (tmp_path / "another.pem").write_bytes(another)
    refused = lookup_with_pipes(service, "--ca-file", tmp_path / "another.pem", SSL_CERT_FILE=str(ca_file))
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    assert len(service.requests) == 1


@pytest.mark.parametrize("is_valid", [True, False])
def test_a_key_can_be_read_from_a_pipe(
    service: FakeDeveloperIdentityService, ca_file: Path, tmp_path: Path, *, is_valid: bool
) -> None:
    key, certificate = self_signed()
    (tmp_path / "key.pem").write_bytes(key if is_valid else b"")
    (tmp_path / "own.pem").write_bytes(certificate)
    files = ("--ca-file", str(ca_file), "--client-certificate-file", str(tmp_path / "own.pem"))
    done = lookup_with_pipes(service, "--client-key-file", tmp_path / "key.pem", *files)
    assert (done.returncode, "not a PEM certificate" in done.stderr) == ((0, False) if is_valid else (253, True))


def lookup_with_pipes(
    service: FakeDeveloperIdentityService, option: str, file: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """As `lookup`, with a file on standard input."""
    with subprocess.Popen(["cat", file], stdout=subprocess.PIPE) as cat:
        return lookup(service, option, "/dev/stdin", *options, stdin=cat.stdout, **environment)


def test_tls_trusts_the_system_certificates(service: FakeDeveloperIdentityService, ca_file: Path) -> None:
    done = lookup(service, "--tls", SSL_CERT_FILE=str(ca_file))
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["no file", "empty", "no certificate"])
def test_an_unusable_ssl_cert_file_is_reported_with_its_path(
    service: FakeDeveloperIdentityService, tmp_path: Path, content: bytes | None
) -> None:
    named = tmp_path / "roots.pem"
    if content is not None:
        named.write_bytes(content)
    done = lookup(service, "--tls", SSL_CERT_FILE=str(named))
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert str(named) in line
    assert "UNAVAILABLE" not in line
    assert service.requests == []


def test_an_untrusted_certificate_is_refused(service: FakeDeveloperIdentityService, ca_file: Path) -> None:
    _, another = self_signed()
    ca_file.write_bytes(another)
    done = lookup(service, "--ca-file", str(ca_file), GRPC_VERBOSITY="NONE")
    assert done.returncode == 255
    assert done.stderr.startswith(f'No answer from the endpoint "{service.endpoint}": UNAVAILABLE: ')
    assert service.requests == []


def test_a_tls_service_is_unreachable_without_tls(service: FakeDeveloperIdentityService) -> None:
    done = lookup(service, GRPC_VERBOSITY="NONE")
    assert done.returncode == 255
    assert done.stderr.startswith(f'No answer from the endpoint "{service.endpoint}": UNAVAILABLE: ')
