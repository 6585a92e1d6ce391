"""The scenario through Cognito's own API: the same results as gRPC, in AWS's format."""

from collections.abc import Mapping

import pytest
from tests.conformance.names import Json
from tests.conformance.play import Transcript, play
from tests.conformance.scenario import load
from tests.conformance.stages import Pools, Stage, aws_stage, local_stage
from tests.support.local_engine import DEVELOPER, OTHER_POOL, POOL

from tokend_server import errors
from tokend_server.aws_json.errors import ERRORS

#: The same run name for both APIs: the order of users, which is not guaranteed, depends on their names.
RUN = "grtvwyzz"

POOLS = Pools(POOL, OTHER_POOL, DEVELOPER)

#: AWS's exceptions by the reasons of gRPC.
EXCEPTIONS: Mapping[str | None, str] = {kind.reason: row.code for kind, row in ERRORS.items()}


def played(stage: Stage) -> Transcript:
    return play(load(), stage.caller, stage.create_guest, POOLS.names(stage.issuer, RUN))


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Transcript, Transcript]:
    """The results of the scenario over gRPC, and through Cognito's own API."""
    directories = [tmp_path_factory.mktemp(name) for name in ("grpc", "aws")]
    with local_stage(directories[0], POOLS) as over_grpc:
        expected = played(over_grpc)
    with aws_stage(directories[1], POOLS) as over_aws:
        return expected, played(over_aws)


def in_awss_terms(seen: Json | None) -> Json | None:
    """Returns a result over gRPC as far as AWS's API expresses it; only AWS's texts have values."""
    if seen is None or "error" not in seen:
        return seen
    is_invalid = seen["error"] in {errors.ValidationFailed.reason, "ValidationException"}
    exception = EXCEPTIONS.get(seen["error"], seen["error"])
    return {"error": exception} if is_invalid else {"error": exception, "text": seen["text"]}


def test_both_apis_return_the_same(transcripts: tuple[Transcript, Transcript]) -> None:
    over_grpc, over_aws = transcripts
    assert [step.step.name for step in over_aws] == [step.step.name for step in over_grpc]
    apart = {
        grpc.step.name: (in_awss_terms(grpc.seen), in_awss_terms(aws.seen))
        for grpc, aws in zip(over_grpc, over_aws, strict=True)
        if in_awss_terms(grpc.seen) != in_awss_terms(aws.seen)
    }
    assert apart == {}
    assert sum("error" in (step.seen or {}) for step in over_aws) > 20
