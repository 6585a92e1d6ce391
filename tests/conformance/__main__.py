"""The conformance command: `python -m tests.conformance`. README.md describes it."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError
from tests.conformance.cognito import Visit, deletion, guests_of_cognito
from tests.conformance.play import Transcript, play
from tests.conformance.scenario import Step, load
from tests.conformance.stages import Pools, Stage, cognito_stage, local_stage, new_run
from tests.conformance.table import as_json, differs, markdown

from tokend_server import logs
from tokend_server.config import EMBEDDED_DEVELOPER_PROVIDER
from tokend_server.errors import ConfigError

#: The default pools of the local engine.
LOCAL_POOL = "eu-west-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
OTHER_LOCAL_POOL = "eu-west-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b22"

CALLS_PER_SECOND = 4.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="conformance", description="Plays the scenario and tells what differs.")
    parser.add_argument("--engine", choices=("local", "cognito"), default="local")
    parser.add_argument("--pool", metavar="ID", help="the pool; with --engine cognito, identities are created in it")
    parser.add_argument("--other-pool", metavar="ID", help="another pool of the region, with the same provider")
    parser.add_argument("--developer-provider-name", metavar="NAME", help="the pools' developer provider")
    parser.add_argument("--endpoint-url", metavar="URL", help="where Cognito's API is; default AWS's own")
    parser.add_argument("--profile", metavar="NAME", help="profile of the AWS configuration files")
    parser.add_argument("--role-arn", metavar="ARN", help="role to assume")
    parser.add_argument(
        "--calls-per-second",
        type=float,
        metavar="N",
        help=f"the pace; default {CALLS_PER_SECOND:g} at Cognito, and 0, which is none, at the local engine",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON in place of the table")
    return parser


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.engine == "cognito" and not (options.pool and options.developer_provider_name):
        parser.error("--engine cognito needs --pool and --developer-provider-name")
    if options.engine == "local" and (options.endpoint_url or options.profile or options.role_arn):
        parser.error("--endpoint-url, --profile and --role-arn are for --engine cognito")
    if options.calls_per_second is None:
        options.calls_per_second = CALLS_PER_SECOND if options.engine == "cognito" else 0.0
    if options.calls_per_second < 0:
        parser.error("--calls-per-second must not be negative")
    return options


def _pools(options: argparse.Namespace) -> Pools:
    provider = options.developer_provider_name or EMBEDDED_DEVELOPER_PROVIDER
    if options.pool:
        return Pools(options.pool, options.other_pool or "", provider)
    return Pools(LOCAL_POOL, options.other_pool or OTHER_LOCAL_POOL, provider)


@contextmanager
def _stage(options: argparse.Namespace, directory: Path, pools: Pools) -> Iterator[Stage]:
    with ExitStack() as stack:
        if options.engine == "local":
            yield stack.enter_context(local_stage(directory, pools))
        else:
            given = {name: getattr(options, name) for name in ("endpoint_url", "profile", "role_arn")}
            settings = {name: value for name, value in given.items() if value is not None}
            settings["requests_per_second"] = options.calls_per_second
            guests = guests_of_cognito(options.endpoint_url)
            yield stack.enter_context(cognito_stage(directory, pools, guests, settings))


def _run(options: argparse.Namespace, scenario: Sequence[Step]) -> tuple[Transcript, list[str]]:
    at_cognito, pace = options.engine == "cognito", options.calls_per_second
    pools = _pools(options)
    if at_cognito:
        _say(f"{len(scenario)} calls at most, {pace:g} a second, will create identities in {' and '.join(pools.ids)}.")
    with (
        TemporaryDirectory(prefix="tokend-conformance-") as directory,
        _stage(options, Path(directory), pools) as stage,
    ):
        visit = Visit(stage.caller, stage.create_guest, pace)
        try:
            names = pools.names(stage.issuer, new_run())
            return play(scenario, visit.call, visit.create_guest, names), visit.identity_ids
        finally:
            if at_cognito:
                _say("\n".join(["It has made these identities; to delete them:", *deletion(visit.identity_ids)]))


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    logs.configure(level="warning", as_json=False)
    try:
        transcript, identity_ids = _run(options, load())
    except (ConfigError, ValidationError) as error:
        _say(str(error))
        return 2
    if options.json:
        document = {"steps": as_json(transcript), "identity_ids": identity_ids}
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.write(markdown(transcript))
    return 1 if differs(transcript) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
