"""The command line of tokend-agent."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tokend_client.agent.arguments import parser
from tokend_client.agent.configuration import AgentSettings, TokenSettings
from tokend_client.agent.connection import ConnectionProblem, check_connection
from tokend_client.agent.loading import ConfigurationError, load
from tokend_client.agent.logs import configure
from tokend_client.tokendctl.errors import CommandFailed
from tokend_client.tokendctl.exit_codes import ExitCode
from tokend_client.tokendctl.standard_streams import write_error, write_output


def run(arguments: Sequence[str]) -> ExitCode:
    """Runs a command line, and writes failures to standard error."""
    try:
        options = parser().parse_args(arguments)
        COMMANDS[options.command](load(Path(options.config)), options)
    except (CommandFailed, ConfigurationError, ConnectionProblem) as failed:
        return _fail(failed)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


def _fail(failed: CommandFailed | ConfigurationError | ConnectionProblem) -> ExitCode:
    if isinstance(failed, CommandFailed):
        text, exit_code = failed.text, failed.exit_code
    else:
        text = "\n  ".join(["the configuration cannot be used:", *failed.problems])
        exit_code = ExitCode.CONFIGURATION
    if text:
        write_error(f"tokend-agent: {text}")
    return exit_code


def _run(settings: AgentSettings, options: argparse.Namespace) -> None:
    from tokend_client.agent.running import run_once, run_until_stopped  # noqa: PLC0415 - only this command needs threads and HTTP

    configure(settings.log.format, debug=options.debug)
    try:
        if options.once:
            late = run_once(settings, options.timeout)
        else:
            late = run_until_stopped(settings, lambda: load(Path(options.config)))
    except OSError as error:
        text = f"health.listen: {settings.health.listen}: {error.strerror or error}"
        raise CommandFailed(text, ExitCode.CONFIGURATION) from None
    if late:
        raise CommandFailed("\n  ".join(["within the time limit, there was no token for", *late]), ExitCode.OTHER)


def _check(settings: AgentSettings, _options: argparse.Namespace) -> None:
    check_connection(settings.tokend)
    names = ", ".join(token.name for token in settings.tokens)
    write_output(f"The configuration is good. Tokens: {names}\n")


def _ready(settings: AgentSettings, _options: argparse.Namespace) -> None:
    from tokend_client.agent.probe import readiness_problems  # noqa: PLC0415 - as above

    if not settings.health.listen:
        raise CommandFailed("health.listen is empty: the running agent cannot be reached", ExitCode.CONFIGURATION)
    try:
        problems = readiness_problems(settings.health)
    except OSError as error:
        text = f"no agent responds at {settings.health.listen}: {error.strerror or error}"
        raise CommandFailed(text, ExitCode.OTHER) from None
    if problems:
        raise CommandFailed("\n  ".join(["not ready:", *problems]), ExitCode.OTHER)


def _token(settings: AgentSettings, options: argparse.Namespace) -> None:
    write_output(f"{_read_token(settings, options.name)}\n")


def _aws_credentials(settings: AgentSettings, options: argparse.Namespace) -> None:
    if not options.role_arn:
        raise CommandFailed("--role-arn or AWS_ROLE_ARN must name the role to assume", ExitCode.USAGE)
    token = _read_token(settings, options.name)
    try:
        from tokend_client.agent.aws_credentials import NoCredentials, credentials  # noqa: PLC0415 - may be missing
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "botocore":
            raise
        text = "aws-credentials needs the extra `aws`: pip install 'tokend-client[agent,aws]'"
        raise CommandFailed(text, ExitCode.CONFIGURATION) from None
    try:
        write_output(credentials(token, options.role_arn, options.role_session_name, options.duration_seconds) + "\n")
    except NoCredentials as refused:
        raise CommandFailed(f"no credentials for {options.name}: {refused}", ExitCode.SERVICE) from None


def _read_token(settings: AgentSettings, name: str) -> str:
    from tokend_client.agent import stored_token  # noqa: PLC0415 - as above
    from tokend_client.agent.token_file import FileProblem, TokenFile  # noqa: PLC0415 - as above
    from tokend_client.clock import SystemClock  # noqa: PLC0415 - as above

    clock = SystemClock()
    try:
        content = TokenFile(_named(settings, name), clock.now).read()
    except FileProblem as problem:
        raise CommandFailed(str(problem), ExitCode.OTHER) from None
    found = None if content is None else stored_token.from_file(content, clock)
    if content is None or found is None:
        raise CommandFailed(f"{name}: there is no token yet; is `tokend-agent run` running?", ExitCode.OTHER)
    if found.remaining(clock) <= 0:
        raise CommandFailed(f"{name}: the token has expired at {found.expire_time.isoformat()}", ExitCode.OTHER)
    return stored_token.token_in(content)


def _named(settings: AgentSettings, name: str) -> TokenSettings:
    for token in settings.tokens:
        if token.name == name:
            return token
    known = ", ".join(token.name for token in settings.tokens)
    raise CommandFailed(f"the configuration has no token {name!r}, only {known}", ExitCode.USAGE)


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
