"""`tokend check-config --online` as an operator runs it before a pool is served."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.cognito_script import AwsFailure
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.tokend import Ended, run_in

POOL = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
LOCAL_POOL = "eu-west-1:00000000-5a6b-4c7d-8e9f-0a1b2c3d4e5f"

COGNITO = f'[pools."{POOL}"]\nengine = "cognito"\n'

Check = Callable[..., Ended]


@pytest.fixture
def upstream() -> Iterator[CognitoUpstream]:
    with CognitoUpstream() as upstream:
        yield upstream


@pytest.fixture
def check(tmp_path: Path, upstream: CognitoUpstream) -> Check:
    def check(pools: str = COGNITO, **environment: str) -> Ended:
        path = tmp_path / "tokend.toml"
        settings = f'[cognito]\nendpoint_url = "{upstream.url}"\nmax_attempts = 1\n'
        path.write_text(f'{settings}{pools}developer_provider_name = "login.example"\n', encoding="utf-8")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        credentials = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY.aws_access_key_id,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY.aws_secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(tmp_path),
        }
        words = ("check-config", "--config", str(path), "--online")
        return run_in({**inherited, **credentials, **environment}, *words)

    return check


def test_a_pool_that_answers_is_ok(check: Check, upstream: CognitoUpstream) -> None:
    checked = check()
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.splitlines()[1:] == [f"{POOL}: ok, Cognito answers"]
    assert [request.operation for request in upstream.requests] == ["LookupDeveloperIdentity"]


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("ResourceNotFoundException", f"IdentityPool '{POOL}' not found.", "There is no such pool in eu-west-1"),
        ("AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized", "The IAM policy of the credentials"),
        ("UnrecognizedClientException", "The security token included is invalid.", "AWS does not know the access key"),
        ("ExpiredTokenException", "The security token included is expired", "The session token has expired"),
        ("InternalErrorException", "An internal error", "Cognito has an internal error"),
    ],
)
def test_rejections_of_cognito_are_explained(
    code: str, text: str, expected: str, check: Check, upstream: CognitoUpstream
) -> None:
    failure = AwsFailure(code, text, 500 if code.startswith("Internal") else 400)
    upstream.always(failure)
    checked = check()
    assert checked.returncode == 1
    (line,) = checked.stderr.splitlines()
    assert line.startswith(f"{POOL}: {expected}")
    assert "arn:aws:iam::1:user/x" not in line


def test_a_not_found_error_for_the_user_means_that_the_pool_exists(check: Check, upstream: CognitoUpstream) -> None:
    upstream.always(AwsFailure("ResourceNotFoundException", "Developer user not found."))
    assert check().returncode == 0


def test_a_wrong_secret_key_is_reported(check: Check) -> None:
    checked = check(AWS_SECRET_ACCESS_KEY="another")
    assert checked.returncode == 1
    assert f"{POOL}: The secret key does not belong to the access key" in checked.stderr


def test_no_credentials_are_reported(check: Check) -> None:
    checked = check(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert checked.returncode == 1
    assert f"{POOL}: boto3's default chain found no credentials" in checked.stderr


def test_a_profile_that_does_not_exist_is_reported(check: Check) -> None:
    checked = check(TOKEND_COGNITO_PROFILE="unknown")
    assert checked.returncode == 1
    assert "cognito: The config profile (unknown) could not be found" in checked.stderr


def test_an_endpoint_that_does_not_answer_is_reported(check: Check, upstream: CognitoUpstream) -> None:
    upstream.stop_listening()
    checked = check()
    assert checked.returncode == 1
    assert f"{POOL}: Cognito's endpoint cannot be reached" in checked.stderr


def test_local_pools_have_nothing_to_ask(check: Check, upstream: CognitoUpstream) -> None:
    checked = check(f'[pools."{LOCAL_POOL}"]\n')
    assert (checked.returncode, upstream.requests) == (0, [])
    assert "there is nothing to check online" in checked.stdout
