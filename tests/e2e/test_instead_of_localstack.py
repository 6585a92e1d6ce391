"""The commands of server/instead-of-localstack.md."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tokend_server.cli.quickstart import quickstart

PAGE = (Path(__file__).parents[2] / "server" / "instead-of-localstack.md").read_text(encoding="utf-8")
COMMANDS = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def followed(commands: str, directory: Path) -> str:
    """Returns the outputs of a block's commands, on a machine without an AWS account."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", commands],
        cwd=directory,
        env={**mine, **nothing, "PATH": path, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_suites_of_the_page_pass_in_one_line(tmp_path: Path) -> None:
    suites = [block for block in blocks("python") if "os.environ" in block]
    for number, suite in enumerate(suites):
        (tmp_path / f"test_{number}.py").write_text(suite, encoding="utf-8")
    assert len(suites) == 2
    assert "2 passed" in followed(blocks("sh")[0], tmp_path)


def test_the_fixtures_of_the_page_serve_its_tests(tmp_path: Path) -> None:
    configuration, suite = [block for block in blocks("python") if "os.environ" not in block]
    (tmp_path / "conftest.py").write_text(configuration, encoding="utf-8")
    (tmp_path / "test_fixture.py").write_text(suite, encoding="utf-8")
    assert "2 passed" in followed(blocks("sh")[1], tmp_path)


def test_a_shell_has_a_token_and_ends_the_service(tmp_path: Path) -> None:
    assert json.loads(followed(blocks("sh")[2], tmp_path)).keys() == {"IdentityId", "Token"}


#: A suite that has moto answer an operation of STS that tokend does not have.
OF_BOTH = """
import os, boto3
from moto import mock_aws

@mock_aws(config={"core": {"mock_credentials": False}})
def test_both() -> None:
    assert boto3.client("sts").get_caller_identity()["Account"]
    pool = os.environ["COGNITO_IDENTITY_POOL_ID"]
    assert boto3.client("cognito-identity").describe_identity_pool(IdentityPoolId=pool)["IdentityPoolId"] == pool
"""


def test_moto_may_answer_for_sts(tmp_path: Path) -> None:
    (tmp_path / "test_both.py").write_text(OF_BOTH, encoding="utf-8")
    assert "1 passed" in followed(blocks("sh")[3], tmp_path)


def test_the_options_of_the_page_are_there() -> None:
    options = {option for parameter in quickstart.params for option in parameter.opts}
    assert {*re.findall(r"`(--[a-z-]+)", PAGE.split("| option |")[1].split("\n## ")[0])} <= options
