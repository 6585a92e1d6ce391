"""The options of tokend-agent's commands."""

import argparse
import os
import threading
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from tokend_client.tokendctl.errors import CommandFailed
from tokend_client.tokendctl.exit_codes import ExitCode

_CONFIG = "/etc/tokend/agent.toml"

_ONCE_TIMEOUT = 60.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CommandFailed(f"{message}\n{self.format_usage().rstrip()}", ExitCode.USAGE)


def parser() -> argparse.ArgumentParser:
    """Returns a parser of command lines, which raises `CommandFailed` for an invalid one."""
    whole = _Parser(
        prog="tokend-agent",
        description="Keeps fresh tokens of tokend in files, for any process that can read a file.",
    )
    whole.add_argument("--version", action="version", version=f"tokend-agent/{version('tokend-client')}")
    shared = _Parser(add_help=False)
    shared.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=os.environ.get("TOKEND_AGENT_CONFIG") or _CONFIG,
        help=f"the configuration (default: TOKEND_AGENT_CONFIG, else {_CONFIG})",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    running = commands.add_parser("run", parents=[shared], help="keep the files fresh until SIGTERM or SIGINT")
    running.add_argument("--debug", action="store_true", help="log each attempt, without logins and tokens")
    running.add_argument("--once", action="store_true", help="write each file once, and exit: for init containers")
    running.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        default=_ONCE_TIMEOUT,
        help="time limit of --once (default: %(default)g)",
    )
    commands.add_parser("check-config", parents=[shared], help="report all problems of the configuration")
    commands.add_parser(
        "ready", parents=[shared], help="ask the running agent whether each file contains a valid token"
    )
    token = commands.add_parser("token", parents=[shared], help="print the token in a file, if it has not expired")
    token.add_argument("name", metavar="NAME", help="the token's name in the configuration")
    aws = commands.add_parser(
        "aws-credentials", parents=[shared], help="print AWS credentials for a token, for credential_process"
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
        help="the session name in CloudTrail (default: AWS_ROLE_SESSION_NAME, else tokend-agent)",
    )
    aws.add_argument("--duration-seconds", type=int, metavar="SECONDS", help="the lifetime of the credentials")
    return whole


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return min(seconds, threading.TIMEOUT_MAX)
