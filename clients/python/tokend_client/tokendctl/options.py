"""The options, under the names of the AWS CLI, and those of the connection."""

import os
import ssl
from pathlib import Path

import click

from tokend_client.tokendctl.operations import Operation

_LONGEST_TIMEOUT = 86_400.0

_UNIX = "unix:"

#: Bytes of a unix socket's path: `sun_path` of unix(7) less the NUL at its end.
_LONGEST_SOCKET_PATH = 107


def member_options(operation: Operation) -> list[click.Parameter]:
    """The options of an operation's own, as text: they are read together with --cli-input-json."""
    return [
        click.Option(
            [member.option, member.field],
            metavar=member.kind.metavar,
            help=f"{member.text}{'  [required]' * member.required}",
        )
        for member in operation.members
    ]


def common_options() -> list[click.Parameter]:
    """The options that every command has."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return [
        click.Option(["--cli-input-json"], metavar="JSON", help="All of the input; options override its members."),
        click.Option(["--generate-cli-skeleton"], is_flag=True, help="Print a sample input and call nothing."),
        click.Option(
            ["--endpoint"],
            default="127.0.0.1:50051",
            envvar="TOKEND_ENDPOINT",
            callback=_endpoint,
            show_default=True,
            show_envvar=True,
            help="HOST:PORT or unix:PATH of the service.",
        ),
        click.Option(
            ["--ca-file"], type=file, callback=_pem, help="Speak TLS, and trust the certificates of this file."
        ),
        click.Option(["--tls"], is_flag=True, help="Speak TLS, and trust the certificates of the system."),
        click.Option(["--client-certificate-file"], type=file, help="Speak TLS, and show this certificate."),
        click.Option(["--client-key-file"], type=file, help="The key of that certificate."),
        click.Option(["--bearer-token-file"], type=file, help="Show the bearer token in this file."),
        click.Option(
            ["--timeout"],
            type=float,
            default=10.0,
            callback=_timeout,
            show_default=True,
            help="How many seconds the call may take.",
        ),
    ]


def _endpoint(_ctx: click.Context, _param: click.Parameter, endpoint: str) -> str:
    if not endpoint or not endpoint.isprintable():
        raise click.BadParameter("not an address")
    path = endpoint.removeprefix(_UNIX)
    if path == endpoint:
        return endpoint
    path = os.path.expanduser(path)  # noqa: PTH111 - Path's own raises where there is no home directory
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise click.BadParameter(f"the path of a unix socket has {_LONGEST_SOCKET_PATH} bytes at most")
    return _UNIX + path


def _pem(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        # gRPC would only say, when it connects, that it cannot.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return path.read_bytes()
    except OSError as error:
        raise click.BadParameter("not a readable file of PEM certificates") from error


def _timeout(_ctx: click.Context, _param: click.Parameter, timeout: float) -> float:
    if not 0 < timeout <= _LONGEST_TIMEOUT:
        raise click.BadParameter(f"not above 0 and up to {_LONGEST_TIMEOUT:.0f} seconds")
    return timeout
