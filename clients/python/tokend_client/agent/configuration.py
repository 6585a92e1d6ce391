"""The settings of the configuration file."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    model_validator,
)

from tokend_client.agent.logs import LogFormat
from tokend_client.agent.owners import UNCHANGED, group_id, user_id

_SOCKET = "unix:"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

#: Octal: the owner reads and writes, group and others read.
_MODE = re.compile(r"0?0?[46][04][04]")

#: Of Linux's 255 bytes.
_MAX_FILE_NAME = 243

#: The contract's bounds of `token_duration`.
_MAX_DURATION = 86_400


def _check_absolute(path: object) -> Path:
    if not isinstance(path, str) or not os.path.isabs(path) or "\0" in path:  # noqa: PTH117 - Path would normalize what is not one
        raise ValueError("must be an absolute path: a relative one depends on the agent's working directory")
    return Path(os.path.normpath(path))


def _check_file_name(path: Path) -> Path:
    # While it is written, there is a file `.NAME.unfinished` next to it.
    if not 0 < len(os.fsencode(path.name)) <= _MAX_FILE_NAME:
        raise ValueError(f"must end with the name of a file, at most {_MAX_FILE_NAME} bytes long")
    return path


def _target(endpoint: str) -> str:
    if not endpoint or not endpoint.isprintable() or " " in endpoint:
        raise ValueError("must be an address")
    if endpoint.startswith(("http://", "https://")):
        raise ValueError(
            "must be HOST:PORT, without http:// or https://: the protocol is gRPC, with TLS unless plaintext = true"
        )
    return endpoint


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must begin with a letter or digit, and have at most 63 of A-Z, a-z, 0-9, `_`, `.` and `-`")
    return name


def _mode(mode: object) -> int:
    if not isinstance(mode, str) or not _MODE.fullmatch(mode):
        raise ValueError(
            'must be octal digits in quotes, such as "0640": the owner may read, only the owner may write, and none '
            "may execute it, because whoever can write the file decides the identity of its readers"
        )
    return int(mode, 8)


AbsolutePath = Annotated[Path, BeforeValidator(_check_absolute)]


class Section(BaseModel):
    """A table of the file. It rejects unknown settings and values of the wrong type."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Service(Section):
    """The table `[tokend]`."""

    endpoint: Annotated[
        StrictStr,
        AfterValidator(_target),
        Field(description="the address of tokend: HOST:PORT, unix:PATH or any other gRPC target"),
    ]
    plaintext: Annotated[
        StrictBool,
        Field(description="no TLS: only for this machine and sidecars, since logins and tokens are sent unencrypted"),
    ] = False
    ca_file: Annotated[
        AbsolutePath | None, Field(description="PEM of the trusted authorities; by default those of the system")
    ] = None
    client_certificate_file: Annotated[AbsolutePath | None, Field(description="PEM of the client certificate")] = None
    client_key_file: Annotated[AbsolutePath | None, Field(description="PEM of the client certificate's key")] = None
    bearer_token_file: Annotated[
        AbsolutePath | None, Field(description="the bearer token that authenticates calls to tokend")
    ] = None
    timeout_seconds: Annotated[
        float, Field(strict=True, gt=0, le=60, description="the timeout of a call, including retries")
    ] = 3.0

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        problems = []
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            problems.append("client_certificate_file and client_key_file must be set together")
        if self.plaintext and (self.ca_file or self.client_certificate_file):
            problems.append(
                "plaintext = true cannot be combined with ca_file and client_certificate_file, which are for TLS"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self


class Health(Section):
    """The table `[health]`."""

    listen: Annotated[
        StrictStr,
        Field(description="the address of readiness and metrics: HOST:PORT, unix:PATH, or empty for none"),
    ] = "127.0.0.1:9466"
    other_machines: Annotated[StrictBool, Field(description="whether other machines may reach the address")] = False

    @property
    def socket_path(self) -> Path | None:
        """The path of the unix socket, if it is one."""
        return Path(self.listen.removeprefix(_SOCKET)) if self.listen.startswith(_SOCKET) else None

    @property
    def host_and_port(self) -> tuple[str, int]:
        """The address, if it is not a unix socket."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @model_validator(mode="after")
    def _check_address(self) -> Self:
        if not self.listen:
            return self
        if self.socket_path is not None:
            _check_absolute(str(self.socket_path))
            return self
        try:
            host, port = self.host_and_port
            address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            raise ValueError("listen must be IP:PORT or unix:PATH, or empty") from None
        if not 0 <= port <= 65_535:  # noqa: PLR2004 - the ports
            raise ValueError("listen must have a port of 0 to 65535")
        if not (address.is_loopback or self.other_machines):
            raise ValueError(
                "listen is an address that other machines may reach, which would see the names of tokens: "
                "set other_machines = true, or listen on 127.0.0.1 or a unix socket"
            )
        return self


class Log(Section):
    """The table `[log]`."""

    format: Annotated[LogFormat, Field(description="text, or one JSON object per line")] = "text"


class TokenSettings(Section):
    """A table of `[[tokens]]`."""

    name: Annotated[
        StrictStr, AfterValidator(_name), Field(description="the token's name in commands, logs and metrics")
    ]
    file: Annotated[AbsolutePath, AfterValidator(_check_file_name), Field(description="the file that programs read")]
    identity_pool_id: Annotated[StrictStr, Field(min_length=1, description="the pool, as REGION:GUID")]
    logins: Annotated[
        dict[StrictStr, StrictStr], Field(repr=False, description="provider names to the user's identifier there")
    ] = {}
    login_files: Annotated[
        dict[StrictStr, AbsolutePath],
        Field(description="provider names to files with the user's ID token there, read for each request"),
    ] = {}
    identity_id: Annotated[StrictStr | None, Field(min_length=1, description="the identity to link the logins to")] = (
        None
    )
    principal_tags: Annotated[dict[StrictStr, StrictStr], Field(description="session tags for the token")] = {}
    token_duration_seconds: Annotated[
        int | None, Field(strict=True, ge=1, le=_MAX_DURATION, description="how long tokens are valid")
    ] = None
    format: Annotated[
        Literal["token", "json"], Field(description="the token only, or a JSON object with its identity and times")
    ] = "token"
    layout: Annotated[
        Literal["file", "projected"],
        Field(description="one file, or a directory like a projected volume of Kubernetes"),
    ] = "file"
    mode: Annotated[int, BeforeValidator(_mode), Field(description="the file's mode, octal")] = 0o600
    owner: Annotated[int, BeforeValidator(user_id), Field(description="the file's owner")] = UNCHANGED
    group: Annotated[int, BeforeValidator(group_id), Field(description="the file's group")] = UNCHANGED
    expired: Annotated[
        Literal["keep", "remove"], Field(description="whether to keep or remove a file whose token has expired")
    ] = "keep"

    @model_validator(mode="after")
    def _check_logins(self) -> Self:
        problems = []
        if not self.logins and not self.login_files:
            problems.append("logins or login_files must name the user")
        problems += [
            f"{name} is in logins and in login_files" for name in sorted(self.logins.keys() & self.login_files)
        ]
        if any(not value for value in self.logins.values()):
            problems.append("logins must not contain an empty value")
        if problems:
            raise ValueError("\n".join(problems))
        return self


class AgentSettings(Section):
    """The whole file."""

    tokend: Service
    health: Health = Health()
    log: Log = Log()
    tokens: tuple[TokenSettings, ...]
