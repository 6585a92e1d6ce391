"""Cognito's identity pools API for tests, served by tokend in a separate process."""

import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import IO, Self

#: Seconds for the service to end after it was asked to.
_STOP_TIMEOUT = 60

_SERVICE = "tokend_server"


class CognitoIdentityServer:
    """Cognito's identity pools API, on a free port of the loopback. Use it as a context manager.

    A separate tokend process serves it, with one pool, one access key and an empty store. It ends with this process in
    any case. Requires the distribution `tokend-server`.

    Args:
        identity_pool_id: The pool, as REGION:GUID; by default one in us-east-1.
        developer_provider_name: The pool's developer provider.

    Attributes:
        environment: The environment variables for AWS SDKs, with the pool and the issuer as `COGNITO_IDENTITY_…`, once
            it serves.
        in_the_way: The variables that would make SDKs use other credentials or endpoints.
    """

    def __init__(self, *, identity_pool_id: str | None = None, developer_provider_name: str | None = None) -> None:
        options = {"--identity-pool-id": identity_pool_id, "--developer-provider-name": developer_provider_name}
        self._options = [word for name, value in options.items() if value is not None for word in (name, value)]
        self.environment: Mapping[str, str] = MappingProxyType({})
        self.in_the_way: Sequence[str] = ()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def identity_pool_id(self) -> str:
        """The pool."""
        return self.environment["COGNITO_IDENTITY_POOL_ID"]

    @property
    def developer_provider_name(self) -> str:
        """The pool's developer provider."""
        return self.environment["COGNITO_IDENTITY_DEVELOPER_PROVIDER_NAME"]

    @property
    def issuer(self) -> str:
        """The `iss` of tokens, the URL at which verifiers find the keys."""
        return self.environment["COGNITO_IDENTITY_ISSUER"]

    @property
    def client_arguments(self) -> Mapping[str, str]:
        """The keyword arguments of `boto3.client("cognito-identity", …)`, which override the environment."""
        return {
            "endpoint_url": self.environment["AWS_ENDPOINT_URL_COGNITO_IDENTITY"],
            "region_name": self.environment["AWS_REGION"],
            "aws_access_key_id": self.environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.environment["AWS_SECRET_ACCESS_KEY"],
        }

    def start(self) -> None:
        """Starts serving.

        Raises:
            RuntimeError: tokend-server is not installed, or failed to start; the text contains its output.
        """
        if importlib.util.find_spec(_SERVICE) is None:
            raise RuntimeError("tokend-server is not installed; install it from the same place as tokend-client")
        command = [sys.executable, "-m", _SERVICE, "quickstart", "--aws", "--until-stdin-closes", *self._options]
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, encoding="utf-8"
            )
            lines = _output(self._process).read().splitlines()
            if not lines:
                self.stop()
                said.seek(0)
                raise RuntimeError(f"tokend failed to start: {said.read().strip()}")
        self.environment = MappingProxyType(dict(_parse_exports(lines)))
        self.in_the_way = [name for line in lines if line.startswith("unset ") for name in line.split()[1:]]

    def stop(self) -> None:
        """Stops serving. Users and keys are lost."""
        process, self._process = self._process, None
        if process is not None:
            try:
                process.communicate(timeout=_STOP_TIMEOUT)
            finally:
                process.kill()

    def environment_of_a_child(self) -> dict[str, str]:
        """Returns the environment for a program whose AWS SDKs should call this service."""
        return {name: value for name, value in os.environ.items() if name not in self.in_the_way} | {**self.environment}


def _output(process: subprocess.Popen[str]) -> IO[str]:
    if process.stdout is None:
        raise AssertionError("the output is a pipe")
    return process.stdout


def _parse_exports(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        command, *words = shlex.split(line)
        if command == "export":
            name, _, value = words[0].partition("=")
            yield name, value
