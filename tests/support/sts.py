"""An independent STS: SeaweedFS's, built from its Go module, in a separate process."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore
import botocore.session
from botocore.config import Config
from tests.clients.toolchains import ROOT
from tests.support.go_program import go_program

#: The role that its tokens may assume.
ROLE = "arn:aws:iam::123456789012:role/reader"

_SOURCE = ROOT / "tests" / "sts"


@contextmanager
def independent_sts(directory: Path, issuer: str, audience: str, options: Sequence[str] = ()) -> Iterator[str]:
    """Serves `AssumeRoleWithWebIdentity` for `ROLE`, and yields the URL.

    It fetches the issuer's discovery document and keys, the keys again after a second, and verifies signature, issuer,
    audience and dates. Without Go, the test is skipped. The first build on a machine takes a minute of CPU.

    Args:
        directory: The directory of the program.
        issuer: The URL of the issuer.
        audience: The required audience of tokens: the identity pool.
        options: Additional options of the program, such as `-ca-file`.
    """
    program = go_program(directory / "sts", _SOURCE, "the independent STS")
    command = [str(program), "-issuer", issuer, "-audience", audience, "-role", ROLE.rpartition("/")[2], *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", cwd=directory) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.kill()


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
