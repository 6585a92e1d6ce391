"""The conformance command, as an operator runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.conformance.__main__ import main
from tests.conformance.cognito import Visit, deletion
from tests.conformance.names import Json, names_in
from tests.conformance.scenario import load
from tests.conformance.stages import Pools, upstream
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.local_engine import DEVELOPER, OTHER_POOL, POOL

from tokend_server import logs

ROOT = Path(__file__).parents[2]

DELETE = "aws cognito-identity delete-identities --region eu-west-1 --identity-ids-to-delete"

GUESTS = {"guest", "second guest"}

#: The steps that cannot run with the stand-in, which creates no guests.
WITH_GUESTS = {
    step.name for step in load() if GUESTS & (names_in(step.request) | names_in(step.expect) | step.remember.keys())
}


def remembered_identities() -> set[str]:
    return {name for step in load() for name, member in step.remember.items() if member == "IdentityId"}


def conformance(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [sys.executable, "-m", "tests.conformance", *arguments],
        cwd=ROOT,
        env=outside | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def at_cognito(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return conformance(
        *("--engine", "cognito", "--endpoint-url", url, "--calls-per-second", "0"),
        *("--pool", POOL, "--developer-provider-name", DEVELOPER, *arguments),
        AWS_ACCESS_KEY_ID=ACCESS_KEY.aws_access_key_id,
        AWS_SECRET_ACCESS_KEY=ACCESS_KEY.aws_secret_access_key,
    )


def test_the_report_of_the_local_engine_has_no_differences() -> None:
    ended = conformance()
    assert (ended.returncode, ended.stderr) == (0, "")
    head, rule, *rows = ended.stdout.splitlines()[: 2 + len(load())]
    assert head == "| step | expected | seen | result | sure? | question of section 7 |"
    assert {line.replace("\\|", "").count("|") for line in (head, rule, *rows)} == {7}
    assert rows[0] == "| a new user gets an identity | IdentityId ${alice} | as expected | equal | certain |  |"
    assert ended.stdout.endswith(f"\n\n{len(load()) - 1} equal, 0 differs, 1 not played\n")


def test_cognito_behind_an_endpoint_is_compared_and_its_identities_are_reported(tmp_path: Path) -> None:
    with upstream(tmp_path, Pools(POOL, OTHER_POOL, DEVELOPER)) as (stand_in, _):
        ended = at_cognito(stand_in.url, "--other-pool", OTHER_POOL, "--json")
    document = json.loads(ended.stdout)
    results = {step["step"]: step["result"] for step in document["steps"]}
    assert (ended.returncode, [name for name, result in results.items() if result == "differs"]) == (0, [])
    not_played = {name: result for name, result in results.items() if result != "equal"}
    assert not_played.pop("in us-east-1, a token names no ARN") == "not played: not asked in eu-west-1"
    assert not_played.keys() == WITH_GUESTS

    notice, _, *commands = ended.stderr.splitlines()
    assert notice == f"{len(load())} calls at most, 0 a second, will create identities in {POOL} and {OTHER_POOL}."
    made = " ".join(commands).removeprefix(f"{DELETE} ").split()
    assert made == document["identity_ids"]
    assert len(set(made)) == len(remembered_identities() - GUESTS)


def test_without_another_pool_its_steps_are_left_out(tmp_path: Path) -> None:
    with upstream(tmp_path, Pools(POOL, "", DEVELOPER)) as (stand_in, _):
        ended = at_cognito(stand_in.url)
    assert ended.returncode == 0
    rows = [line for line in ended.stdout.splitlines() if "not played: needs ${other pool}" in line]
    assert [row.split(" | ")[0] for row in rows] == ["| the same user has another identity in another pool"]


def test_differences_are_reported() -> None:
    with CognitoUpstream() as stand_in:  # its tokens name no user
        ended = at_cognito(stand_in.url)
    assert ended.returncode == 1
    first = ended.stdout.splitlines()[2]
    expected = "Token.claims.amr: ['authenticated', '${provider}', '${provider}:${pool}:${run}-alice']"
    assert f"| {expected} | Token.claims.amr: ['authenticated'] | differs |" in first


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--engine", "cognito"), "--engine cognito needs --pool and --developer-provider-name"),
        (("--engine", "cognito", "--pool", POOL), "--engine cognito needs --pool and --developer-provider-name"),
        (("--profile", "operator"), "are for --engine cognito"),
        (("--calls-per-second", "-1"), "--calls-per-second must not be negative"),
        (("--pool", "no pool"), "pools"),
        (("--engine", "emulator"), "invalid choice"),
    ],
)
def test_wrong_usage_is_reported(
    arguments: Sequence[str], problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logs, "configure", lambda **_: None)  # it would change the logging of this process
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))
    printed, error_output = capsys.readouterr()
    assert (ended.value.code, printed) == (2, "")
    assert problem in error_output


class Caller:
    """Returns its prepared responses in order."""

    def __init__(self, *answers: Json) -> None:
        self.answers = list(answers)
        self.naps: list[float] = []

    def visit(self, calls_per_second: float) -> Visit:
        return Visit(
            lambda _operation, _request: self.answers.pop(0), lambda _pool: "guest", calls_per_second, self.naps.append
        )


def test_calls_are_rate_limited_and_each_identity_is_reported_once() -> None:
    caller = Caller({"IdentityId": "a"}, {}, {"IdentityId": "a"}, {"IdentityId": "b"}, {"error": "INVALID_PARAMETER"})
    visit = caller.visit(4.0)
    answers = [visit.call("any", {}) for _ in range(5)]
    assert answers[-1] == {"error": "INVALID_PARAMETER"}
    assert visit.create_guest("pool") == "guest"
    assert visit.identity_ids == ["a", "b", "guest"]
    assert caller.naps == [0.25] * 6


def test_a_throttled_call_is_retried_and_finally_fails() -> None:
    throttled = {"error": "TOO_MANY_REQUESTS"}
    caller = Caller(throttled, throttled, {"IdentityId": "a"}, *[throttled] * 6)
    visit = caller.visit(0.0)
    assert visit.call("any", {}) == {"IdentityId": "a"}
    assert visit.call("any", {}) == throttled
    assert (caller.answers, caller.naps) == ([], [0.0, 1.0, 1.0, 0.0, *[1.0] * 5])


def test_identities_are_deleted_sixty_at_a_time() -> None:
    ids = [f"eu-west-1:{number}" for number in range(61)]
    assert deletion(ids) == [" ".join([DELETE, *ids[:60]]), f"{DELETE} eu-west-1:60"]
    assert deletion([]) == []
