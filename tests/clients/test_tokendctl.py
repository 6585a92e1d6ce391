"""The installed tokendctl with a server that requires authentication."""

import json
import subprocess
import sysconfig
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from tests.clients.guarded import Guarded


def tokendctl(guarded: Guarded, endpoint: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sysconfig.get_path("scripts")) / "tokendctl"), "get-open-id-token-for-developer-identity"]
    command += ["--identity-pool-id", guarded.identity_pool_id, "--logins", f"{guarded.developer_provider_name}=ctl"]
    return subprocess.run(
        [*command, "--endpoint", endpoint, *options],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def identity(guarded: Guarded) -> list[str]:
    return ["--client-certificate-file", guarded.certificate_file, "--client-key-file", guarded.private_key_file]


def test_a_certificate_identifies_the_caller(guarded: Guarded) -> None:
    done = tokendctl(guarded, guarded.mutual_tls, "--ca-file", guarded.ca_file, *identity(guarded))
    assert (done.stderr, done.returncode) == ("", 0)
    assert json.loads(done.stdout)["IdentityId"]


def test_a_bearer_token_identifies_the_caller(guarded: Guarded) -> None:
    tls = ["--ca-file", guarded.ca_file, "--bearer-token-file"]
    done = tokendctl(guarded, guarded.bearer, *tls, guarded.key_file)
    assert (done.stderr, done.returncode) == ("", 0)
    refused = tokendctl(guarded, guarded.bearer, *tls, guarded.unknown_key_file)
    assert refused.returncode == 254
    assert refused.stderr.startswith("An error occurred (UnrecognizedClientException) when calling the ")
    assert Path(guarded.unknown_key_file).read_text(encoding="ascii").strip() not in refused.stderr


def test_a_certificate_means_tls(guarded: Guarded) -> None:
    untrusted = tokendctl(guarded, guarded.mutual_tls, *identity(guarded), "--timeout", "3")
    assert untrusted.returncode == 255
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted.stderr


def refused(guarded: Guarded, exit_code: int, *options: str, endpoint: str = "127.0.0.1:1") -> str:
    ended = tokendctl(guarded, endpoint, *options)
    assert ended.returncode == exit_code
    return ended.stderr


def test_a_certificate_and_its_key_go_together(guarded: Guarded) -> None:
    certificate = identity(guarded)[:2]
    assert "must be given together" in refused(guarded, 252, *certificate)
    assert "PEM" in refused(guarded, 253, *certificate, "--client-key-file", guarded.certificate_file)


def test_no_user_is_asked_for_the_password_of_a_key(guarded: Guarded, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(Path(guarded.private_key_file).read_bytes(), None)
    encrypted = tmp_path / "client.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    certificate = identity(guarded)[:2]
    assert "unencrypted" in refused(guarded, 253, *certificate, "--client-key-file", str(encrypted))


def test_a_token_does_not_leave_the_machine_in_plaintext(guarded: Guarded) -> None:
    bearer = ["--bearer-token-file", guarded.key_file]
    assert "requires --tls" in refused(guarded, 252, *bearer, endpoint="tokend.example.test:50051")
