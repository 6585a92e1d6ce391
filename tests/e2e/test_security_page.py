"""The commands of server/SECURITY.md, literally except for directories."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography import x509
from tests.support.certificates import write_certificate

from tokend_server.access.audit.record import AuditEntry, to_json
from tokend_server.access.authentication.certificate import caller_of
from tokend_server.config import load_config
from tokend_server.tls_files import TlsFiles

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "server/SECURITY.md").read_text(encoding="utf-8")

POOL = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
POOLS = f'[pools."{POOL}"]\ndeveloper_provider_name = "login.acme.internal"\n'
POLICY = '[policy.any]\ncallers = ["**"]\npools = ["*"]\noperations = ["*"]\n'


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def section(heading: str) -> str:
    found = re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[1]


def first_column(heading: str) -> list[str]:
    return re.findall(r"^\| (`.+?) \|", section(heading), re.MULTILINE)


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.splitlines()[0])
def test_every_configuration_on_the_page_is_valid(block: str, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    text = block.replace("/etc/tokend/clients.crt", str(certificate.certificate_file))
    text = text.replace("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", str(certificate.certificate_file))
    text = text.replace("/etc/tokend", str(tmp_path))
    for name, file in {"svid": certificate.certificate_file, "svid_key": certificate.private_key_file}.items():
        text = text.replace(f"/run/tokend-spire/{name}.pem", str(file))
    text = text.replace("/run/tokend-spire/bundle.pem", str(certificate.certificate_file))
    tables = tomllib.loads(text)
    missing = [table for table, name in ((POLICY, "policy"), (POOLS, "pools")) if name not in tables]
    if "policy" in tables:  # whose rows say who, but not how callers are identified
        missing.append(f'[grpc]\nidentify_by = ["bearer_key"]\n[callers.keys]\ncheckout = ["sha256:{64 * "0"}"]\n')
    path = tmp_path / "tokend.toml"
    path.write_text("\n".join([text, *missing]), encoding="utf-8")
    config = load_config(path)
    assert config.policy


def test_the_authority_and_its_certificates_are_made_and_fit(tmp_path: Path) -> None:
    (commands,) = [block for block in blocks("sh") if "openssl" in block]
    for command in commands.splitlines():
        subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key", tmp_path / "ca.crt").read()
    checkout = x509.load_pem_x509_certificate((tmp_path / "checkout.crt").read_bytes())
    names = checkout.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert caller_of(tuple(uris), ()) == "spiffe://acme.internal/ns/shop/sa/checkout"


def threats() -> list[str]:
    table = re.search(r"^\|---\|---\|---\|---\|\n((?:\|.*\n)+)", section("Threats"), re.MULTILINE)
    assert table
    return table[1].splitlines()


@pytest.mark.parametrize("row", threats(), ids=lambda row: row.split(" | ")[1])
def test_every_threat_names_tests_that_there_are(row: str) -> None:
    shown_by = row.strip("| ").split(" | ")[-1]
    named = re.findall(r"`(\S+\.py)::(\w+)`", shown_by)
    assert shown_by == ", ".join(f"`{file}::{test}`" for file, test in named)
    assert named
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (file, test)


def test_every_member_of_the_audit_log_is_documented() -> None:
    entry = AuditEntry(event_time=0.0, method="X", source_address="x", error_code="X", error_text="x", request_id="x")
    documented = set(re.findall(r"`(\w+)`", "".join(first_column("Audit log"))))
    members = set(re.findall(r'"(\w+)":', to_json(entry._replace(user_agent="x"), "id").decode()))
    inner = {"type", "grpcCode"}
    assert members - inner == documented
