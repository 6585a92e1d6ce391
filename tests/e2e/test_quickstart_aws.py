"""`tokend quickstart --aws`: Cognito's own API for a test suite, in one line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.fakes.oidc_provider import OidcProvider, rsa_key, sign
from tests.support.tokend import Ended, run

from tokend_server.cli.quickstart import quickstart as quickstart_command

#: A program as in a test suite, without any reference to tokend.
SUITE = """
import json, os, boto3
client = boto3.client("cognito-identity")
pool, provider = (os.environ[f"COGNITO_IDENTITY_{name}"] for name in ("POOL_ID", "DEVELOPER_PROVIDER_NAME"))
issued = client.get_open_id_token_for_developer_identity(
    IdentityPoolId=pool, Logins={provider: "alice"}, TokenDuration=86400, PrincipalTags={"department": "sales"}
)
found = client.lookup_developer_identity(IdentityPoolId=pool, DeveloperUserIdentifier="alice")
print(json.dumps([pool, provider, issued["IdentityId"], found["IdentityId"]]))
"""

#: Variables that are set on many machines.
OF_THE_MACHINE = {
    "AWS_PROFILE": "work",
    "AWS_SESSION_TOKEN": "of-another-account",
    "AWS_CREDENTIAL_EXPIRATION": "2026-01-01T00:00:00Z",
    "AWS_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "HTTP_PROXY": "http://127.0.0.1:1",
    "NO_PROXY": "internal.example",
}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of its files while it runs; its name has special characters, as on build servers."""
    directory = tmp_path / "job%2Fbranch #1? $x"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setenv("TOKEND_DATA_DIR", str(tmp_path / "data"))
    return directory


def quickstart(*command: str, **environment: str) -> Ended:
    return run("quickstart", "--aws", *command, **environment)


def test_a_suite_calls_the_api_and_no_files_remain(temporary: Path) -> None:
    ended = quickstart("--", sys.executable, "-c", SUITE, **OF_THE_MACHINE)
    assert (ended.stderr, ended.returncode) == ("", 0)
    pool, provider, issued, found = json.loads(ended.stdout)
    assert issued == found
    assert issued.startswith("us-east-1:")
    assert (pool, provider) == ("us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21", "login.example.internal")
    assert [*temporary.iterdir(), *temporary.parent.glob("data")] == []


#: A program that creates its own pool.
POOL_MAKER = """
import boto3
client = boto3.client("cognito-identity")
pool = client.create_identity_pool(
    IdentityPoolName="own", AllowUnauthenticatedIdentities=False, DeveloperProviderName="login.own"
)["IdentityPoolId"]
print(client.get_open_id_token_for_developer_identity(IdentityPoolId=pool, Logins={"login.own": "bob"})["IdentityId"])
client.delete_identity_pool(IdentityPoolId=pool)
"""


def test_a_suite_may_make_pools_of_its_own() -> None:
    ended = quickstart("--", sys.executable, "-c", POOL_MAKER, **OF_THE_MACHINE)
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert ended.stdout.startswith("us-east-1:")


#: A program that creates a pool with its own provider, from which it has an ID token.
FEDERATED = """
import os, boto3
from botocore import UNSIGNED
from botocore.config import Config
pool = boto3.client("cognito-identity").create_identity_pool(
    IdentityPoolName="own",
    AllowUnauthenticatedIdentities=False,
    OpenIdConnectProviderARNs=["arn:aws:iam::111122223333:oidc-provider/idp.example"],
)["IdentityPoolId"]
device = boto3.client("cognito-identity", config=Config(signature_version=UNSIGNED))
logins = {"idp.example": os.environ["ID_TOKEN"]}
print(device.get_id(IdentityPoolId=pool, Logins=logins)["IdentityId"])
"""


def test_a_suite_may_have_login_providers_of_its_own() -> None:
    now = int(time.time())
    with OidcProvider() as provider:
        claims = {"iss": provider.issuer, "sub": "u", "aud": "app", "iat": now, "exp": now + 600}
        declared = {"idp.example": {"client_ids": ["app"], "issuer": provider.issuer}}
        ended = quickstart(
            *("--", sys.executable, "-c", FEDERATED),
            **OF_THE_MACHINE,
            TOKEND_AWS_OPEN_ID_CONNECT_PROVIDERS=json.dumps(declared),
            ID_TOKEN=sign({"alg": "RS256", "kid": "1"}, claims, rsa_key("1")),
        )
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert ended.stdout.startswith("us-east-1:")


def test_the_pool_may_be_the_suites_own_and_the_store_may_be_kept(tmp_path: Path) -> None:
    pool = "eu-central-1:0a1b2c3d-0000-4000-8000-00000000000a"
    words = ["--identity-pool-id", pool, "--developer-provider-name", "login.acme"]
    words += ["--store", f"sqlite:///{tmp_path}/kept.db", "--", sys.executable, "-c", SUITE]
    first, second = (json.loads(quickstart(*words, **OF_THE_MACHINE).stdout) for _ in range(2))
    assert first == second
    assert first[:2] == [pool, "login.acme"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 7", 7),
        ("kill -9 $$", 128 + signal.SIGKILL),
        # The suite ends as on a signal, with all its processes.
        ("trap 'exit 3' TERM; kill -TERM $PPID; while :; do :; done", 3),
        # A pipe without a reader ends it, and no signal is blocked.
        ("kill -PIPE $$", 128 + signal.SIGPIPE),
    ],
)
def test_the_exit_code_is_the_commands(command: str, code: int, temporary: Path) -> None:
    ended = quickstart("--", "sh", "-c", command)
    assert (ended.stderr, ended.returncode) == ("", code)
    assert [*temporary.iterdir()] == []


@pytest.mark.parametrize(
    ("name", "code", "why"), [("no-such-command", 127, "No such file"), ("/etc/passwd", 126, "Permission denied")]
)
def test_a_command_that_cannot_be_run_is_named(name: str, code: int, why: str, temporary: Path) -> None:
    ended = quickstart("--", name)
    assert ended.returncode == code
    assert re.fullmatch(f"Error: {name}: {why}.*\n", ended.stderr)
    assert [*temporary.iterdir()] == []


#: A program that ends on a signal, and prints which one.
WAITING = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("begun", flush=True)
got = signal.sigtimedwait({signal.SIGTERM}, 100)
print(got and signal.Signals(got.si_signo).name, flush=True)
"""


def test_a_kill_ends_the_command_and_the_next_start_cleans_up(temporary: Path) -> None:
    words = [sys.executable, "-m", "tokend_server", "quickstart", "--aws", "--", sys.executable, "-c", WAITING]
    with subprocess.Popen(words, stdout=subprocess.PIPE, encoding="utf-8") as killed:
        assert killed.stdout
        assert killed.stdout.readline() == "begun\n"
        killed.kill()
        assert killed.stdout.read() == "SIGTERM\n"
    assert len([*temporary.iterdir()]) == 1
    assert quickstart("--", "true").returncode == 0
    assert [*temporary.iterdir()] == []


def test_a_shell_evaluates_what_it_prints(temporary: Path, tmp_path: Path) -> None:
    """The script continues while the service runs, and ends it."""
    script = f"""
        eval "$({sys.executable} -m tokend_server quickstart --aws &)"
        {sys.executable} -c "$SUITE"
        kill $TOKEND_QUICKSTART_PID
        while kill -0 $TOKEND_QUICKSTART_PID 2> /dev/null; do :; done
    """
    done = subprocess.run(
        ["sh", "-ec", script],
        env={**os.environ, **OF_THE_MACHINE, "SUITE": SUITE},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0].startswith("us-east-1:")
    assert re.fullmatch(r"Cognito's own API: http://127\.0\.0\.1:\d+, pool us-east-1:\S+ Stop with .*\n", done.stderr)
    assert [*temporary.iterdir()] == []


@contextmanager
def printed_lines() -> Iterator[str]:
    """Returns the output of a quickstart that ends when its standard input ends, as after its parent is killed."""
    words = [sys.executable, "-m", "tokend_server", "quickstart", "--aws", "--until-stdin-closes"]
    environment = os.environ | OF_THE_MACHINE
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, encoding="utf-8"
    )
    assert process.stdout
    yield process.stdout.read()
    process.communicate()
    assert process.returncode == 0


def test_the_printed_script_sets_the_same_variables_as_for_a_command() -> None:
    with printed_lines() as lines:
        pass
    script = f"{lines}\nenv"
    evaluated = environment_of(
        subprocess.check_output(["sh", "-c", script], text=True, env=os.environ | OF_THE_MACHINE)
    )
    ended = quickstart("--", "env", **OF_THE_MACHINE)
    given = environment_of(ended.stdout)
    names = {name for name in given.keys() | evaluated.keys() if re.match("AWS|COGNITO|NO_PROXY|no_proxy", name)}
    assert names <= given.keys() & evaluated.keys()
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"} & names
    assert given["AWS_DEFAULT_REGION"] == given["AWS_REGION"] == "us-east-1"
    assert given["NO_PROXY"] == evaluated["NO_PROXY"] == "internal.example,127.0.0.1"


def environment_of(output: str) -> Mapping[str, str]:
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--", "true"], "a command, a pool and --until-stdin-closes can be used only with --aws"),
        (["--until-stdin-closes"], "a command, a pool and --until-stdin-closes can be used only with --aws"),
        (["--aws", "--once"], "--once cannot be used with --aws"),
        (["--aws", "--identity-pool-id", "zz"], "must be REGION:GUID, at most 55 characters"),
        (["--aws", "--developer-provider-name", ""], "must be 1 to 128 letters, digits, '_', '.' and '-'"),
        (["--aws", "--developer-provider-name", "a b"], "must be 1 to 128 letters, digits, '_', '.' and '-'"),
        (["--once", "--store", ""], "must not be empty"),
    ],
)
def test_wrong_usage_is_reported(words: list[str], expected: str) -> None:
    ended = CliRunner().invoke(quickstart_command, words)
    assert ended.exit_code == 2
    assert expected in ended.output
