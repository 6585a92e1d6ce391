"""The command line of tokend-agent."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from tokend_client.agent.configuration import AgentSettings, TokenSettings
from tokend_client.agent.connection import ConnectionProblem, check
from tokend_client.agent.loading import ConfigurationError, load
from tokend_client.tokendctl.exit_codes import ExitCode

_CONFIG = "/etc/tokend/agent.toml"

_ONCE_TIMEOUT = 60.0

_LOG = logging.getLogger("tokend_client.agent")


class _Failed(Exception):
    """Raised when a command does not succeed."""

    def __init__(self, text: str, exit_code: ExitCode) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Failed(f"{message}\n{self.format_usage().rstrip()}", ExitCode.USAGE)


def run(arguments: Sequence[str]) -> ExitCode:
    """Runs a command line; tells standard error why it does not succeed."""
    try:
        options = _parser().parse_args(arguments)
        COMMANDS[options.command](load(Path(options.config)), options)
    except (_Failed, ConfigurationError, ConnectionProblem) as failed:
        return _fail(failed)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


def _fail(failed: _Failed | ConfigurationError | ConnectionProblem) -> ExitCode:
    if isinstance(failed, _Failed):
        sys.stderr.write(f"tokend-agent: {failed}\n")
        return failed.exit_code
    sys.stderr.write("\n  ".join(["tokend-agent: the configuration cannot be used:", *failed.problems]) + "\n")
    return ExitCode.CONFIGURATION


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="tokend-agent",
        description="Keeps files with fresh tokens of tokend, for any process that can read a file.",
    )
    parser.add_argument("--version", action="version", version=f"tokend-agent/{version('tokend-client')}")
    shared = _Parser(add_help=False)
    shared.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=os.environ.get("TOKEND_AGENT_CONFIG") or _CONFIG,
        help=f"the configuration (default: TOKEND_AGENT_CONFIG, else {_CONFIG})",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    running = commands.add_parser("run", parents=[shared], help="keep the files fresh until SIGTERM or SIGINT")
    running.add_argument("--debug", action="store_true", help="log each attempt; neither logins nor tokens")
    running.add_argument("--once", action="store_true", help="write each file once, and end: for init containers")
    running.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        default=_ONCE_TIMEOUT,
        help="how long --once tries (default: %(default)g)",
    )
    commands.add_parser("check-config", parents=[shared], help="name all that is wrong with the configuration")
    commands.add_parser("ready", parents=[shared], help="ask the running agent whether each file holds a valid token")
    token = commands.add_parser("token", parents=[shared], help="print the token in a file, if it has not expired")
    token.add_argument("name", metavar="NAME", help="the token's name in the configuration")
    aws = commands.add_parser(
        "aws-credentials", parents=[shared], help="print AWS credentials for a token, as a credential_process does"
    )
    aws.add_argument("name", metavar="NAME", help="the token's name in the configuration")
    aws.add_argument(
        "--role-arn",
        metavar="ARN",
        default=os.environ.get("AWS_ROLE_ARN"),
        help="the role to assume (default: AWS_ROLE_ARN)",
    )
    aws.add_argument(
        "--role-session-name",
        metavar="NAME",
        default=os.environ.get("AWS_ROLE_SESSION_NAME") or "tokend-agent",
        help="how CloudTrail shows who uses the role (default: AWS_ROLE_SESSION_NAME, else tokend-agent)",
    )
    aws.add_argument("--duration-seconds", type=int, metavar="SECONDS", help="how long the credentials live")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _log(*, debug: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("tokend_client")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    # A standard error that is gone is no reason to write there how it failed.
    logging.raiseExceptions = False


def _run(settings: AgentSettings, options: argparse.Namespace) -> None:
    from tokend_client.agent.running import keep, keep_once  # noqa: PLC0415 - only this command needs threads and HTTP

    _log(debug=options.debug)
    for token in settings.tokens:
        if token.mode & 0o004:
            _LOG.warning("%s: every user of this machine may read %s (mode %04o)", token.name, token.file, token.mode)
    stop = _Stop()
    try:
        late = keep_once(settings, stop.on, options.timeout) if options.once else keep(settings, stop.on)
    except OSError as error:
        text = f"health.listen: {settings.health.listen}: {error.strerror or error}"
        raise _Failed(text, ExitCode.CONFIGURATION) from None
    if late:
        raise _Failed("\n  ".join(["in the time given, there was no token for", *late]), ExitCode.OTHER)


class _Stop:
    """SIGTERM and SIGINT, from now on."""

    def on(self, act: Callable[[], None]) -> None:
        """Has it called when one of them comes."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: act())


def _check(settings: AgentSettings, _options: argparse.Namespace) -> None:
    check(settings.tokend)
    print(f"The configuration is good. Tokens: {', '.join(token.name for token in settings.tokens)}")  # noqa: T201


def _ready(settings: AgentSettings, _options: argparse.Namespace) -> None:
    from tokend_client.agent.probe import not_ready  # noqa: PLC0415 - as above

    if not settings.health.listen:
        raise _Failed("health.listen is empty: a running agent cannot be asked", ExitCode.CONFIGURATION)
    try:
        problems = not_ready(settings.health)
    except OSError as error:
        text = f"no agent answers at {settings.health.listen}: {error.strerror or error}"
        raise _Failed(text, ExitCode.OTHER) from None
    if problems:
        raise _Failed("\n  ".join(["not ready:", *problems]), ExitCode.OTHER)


def _token(settings: AgentSettings, options: argparse.Namespace) -> None:
    print(_kept_token(settings, options.name))  # noqa: T201


def _aws_credentials(settings: AgentSettings, options: argparse.Namespace) -> None:
    if not options.role_arn:
        raise _Failed("--role-arn or AWS_ROLE_ARN must name the role to assume", ExitCode.USAGE)
    token = _kept_token(settings, options.name)
    try:
        from tokend_client.agent.aws_credentials import NoCredentials, credentials  # noqa: PLC0415 - may be missing
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "botocore":
            raise
        text = "aws-credentials needs the extra `aws`: pip install 'tokend-client[agent,aws]'"
        raise _Failed(text, ExitCode.CONFIGURATION) from None
    try:
        print(credentials(token, options.role_arn, options.role_session_name, options.duration_seconds))  # noqa: T201
    except NoCredentials as refused:
        raise _Failed(f"no credentials for {options.name}: {refused}", ExitCode.SERVICE) from None


def _kept_token(settings: AgentSettings, name: str) -> str:
    from tokend_client.agent import kept  # noqa: PLC0415 - as above
    from tokend_client.agent.token_file import FileProblem, TokenFile  # noqa: PLC0415 - as above
    from tokend_client.clock import SystemClock  # noqa: PLC0415 - as above

    clock = SystemClock()
    try:
        content = TokenFile(_named(settings, name), clock.now).read()
    except FileProblem as problem:
        raise _Failed(str(problem), ExitCode.OTHER) from None
    found = None if content is None else kept.from_file(content, clock)
    if content is None or found is None:
        raise _Failed(f"{name}: there is no token yet; does `tokend-agent run` run?", ExitCode.OTHER)
    if found.remaining(clock) <= 0:
        raise _Failed(f"{name}: the token has expired, at {found.expire_time.isoformat()}", ExitCode.OTHER)
    return kept.token_in(content)


def _named(settings: AgentSettings, name: str) -> TokenSettings:
    for token in settings.tokens:
        if token.name == name:
            return token
    known = ", ".join(token.name for token in settings.tokens)
    raise _Failed(f"there is no token {name!r} in the configuration; there are {known}", ExitCode.USAGE)


#: What each command does.
COMMANDS: Mapping[str, Callable[[AgentSettings, argparse.Namespace], None]] = MappingProxyType(
    {
        "run": _run,
        "check-config": _check,
        "ready": _ready,
        "token": _token,
        "aws-credentials": _aws_credentials,
    }
)
