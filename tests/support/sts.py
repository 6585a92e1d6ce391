"""An STS that knows nothing of tokend: SeaweedFS's, built from its Go module, in a process of its own."""

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
    """Serves `AssumeRoleWithWebIdentity` for `ROLE`, and gives the URL.

    It fetches the issuer's discovery document and keys, keys again after a second, and verifies signature, issuer,
    audience and dates. Without Go the test is left out. Built for the first time on a machine, it takes a minute of
    CPU.

    Args:
        directory: Where the program is put.
        issuer: The URL of the issuer.
        audience: What tokens have to be for: the identity pool.
        options: More options of the program, such as `-ca-file`.
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
    """What STS answers to a token.

    Raises:
        botocore.exceptions.ClientError: It refuses the token.
    """
    client = botocore.session.get_session().create_client(
        "sts", endpoint_url=sts, region_name="us-east-1", config=Config(signature_version=botocore.UNSIGNED)
    )
    answer: dict[str, Any] = client.assume_role_with_web_identity(
        RoleArn=role, RoleSessionName="orders", WebIdentityToken=token
    )
    return answer
