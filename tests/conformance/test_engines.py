"""One scenario on both engines, through the callers' API: it passes on each, with equal responses."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.conformance.differences import differences
from tests.conformance.names import Json
from tests.conformance.play import Played, Transcript, play
from tests.conformance.scenario import CREATE_GUEST, load
from tests.conformance.stages import Pools, cognito_stage, local_stage, upstream
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.fakes.scripted_upstream import Arrived
from tests.support.local_engine import DEVELOPER, OTHER_POOL, POOL

#: The allowed differences of the Cognito engine from the local one, with reasons.
GAPS: Mapping[str, str] = {
    "aws_request_id": "Only requests to Cognito have an id.",
    "quota": "Cognito does not say which identity is full, so a merge tells the pool.",
}

#: Steps whose differences are listed in `GAPS`, besides their request id.
STEPS_WITH_GAPS = {"a merge into more than twenty logins is refused": {"quota"}}

COGNITO: Mapping[str, Mapping[str, object]] = {
    "cognito": {},
    "cognito, reusing tokens": {"reuse_tokens": True, "serve_stale": True},
    "cognito, sharing nothing": {"single_flight": False},
}

EVERYWHERE = ("local", "local in us-east-1", *COGNITO)

#: The same run name for all engines: the order of users, which is not guaranteed, depends on their names.
RUN = "grtvwyzz"

POOLS = Pools(POOL, OTHER_POOL, DEVELOPER)
POOLS_IN_US_EAST_1 = Pools(
    POOL.replace("eu-west-1", "us-east-1"), OTHER_POOL.replace("eu-west-1", "us-east-1"), DEVELOPER
)


class Run(NamedTuple):
    """The results of one run of the scenario; `arrived` has the requests that reached Cognito's stand-in."""

    transcript: Transcript
    metrics: str
    arrived: list[Arrived]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Runs the scenario by engine, each once."""
    known: dict[str, Run] = {}

    def run(place: str) -> Run:
        if place not in known:
            known[place] = _played(place, tmp_path_factory.mktemp("run"))
        return known[place]

    return run


def _played(place: str, directory: Path) -> Run:
    if place in COGNITO:
        with _aws_environment():
            return _played_at_cognito(directory, COGNITO[place])
    pools = POOLS_IN_US_EAST_1 if "us-east-1" in place else POOLS
    with local_stage(directory, pools) as stage:
        transcript = play(load(), stage.caller, stage.create_guest, pools.names(stage.issuer, RUN))
        return Run(transcript, stage.metrics(), [])


def _played_at_cognito(directory: Path, settings: Mapping[str, object]) -> Run:
    with (
        upstream(directory / "upstream", POOLS) as (stand_in, create_guest),
        cognito_stage(
            directory, POOLS, create_guest, {"endpoint_url": stand_in.url, "requests_per_second": 0, **settings}
        ) as stage,
    ):
        transcript = play(load(), stage.caller, stage.create_guest, POOLS.names(stage.issuer, RUN))
        return Run(transcript, stage.metrics(), stand_in.requests)


@contextmanager
def _aws_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        environment.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY.aws_access_key_id)
        environment.setenv("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.aws_secret_access_key)
        yield


@pytest.mark.parametrize("place", EVERYWHERE)
def test_each_engine_meets_the_expectations_of_the_scenario(runs: Callable[[str], Run], place: str) -> None:
    transcript = runs(place).transcript
    assert [(played.step.name, found) for played in transcript for found in played.differences] == []


@pytest.mark.parametrize("place", EVERYWHERE)
def test_every_step_is_played_but_those_for_another_region(runs: Callable[[str], Run], place: str) -> None:
    left_out = "outside us-east-1, a token names the pool's ARN"
    if place != "local in us-east-1":
        left_out = "in us-east-1, a token names no ARN"
    assert [played.step.name for played in runs(place).transcript if played.seen is None] == [left_out]


@pytest.mark.parametrize("place", COGNITO)
def test_the_engines_return_the_same(runs: Callable[[str], Run], place: str) -> None:
    met: set[tuple[str, str]] = set()
    for local, cognito in zip(runs("local").transcript, runs(place).transcript, strict=True):
        met.update((local.step.name, member) for member in _members_apart(local.seen or {}, cognito.seen or {}))
    with_errors = _answered_with_an_error_by_cognito(runs("local").transcript)
    allowed = {
        (name, member) for name in with_errors for member in {"aws_request_id"} | STEPS_WITH_GAPS.get(name, set())
    }
    assert met - allowed == set()
    assert allowed - met == set()
    assert {member for _, member in met} == GAPS.keys()


def _members_apart(local: Json, cognito: Json) -> set[str]:
    # As JSON texts, in which the order of members counts: that of claims is Cognito's.
    return {
        name
        for name in {*local, *cognito}
        if name not in local or name not in cognito or json.dumps(local[name]) != json.dumps(cognito[name])
    }


def _answered_with_an_error_by_cognito(transcript: Transcript) -> list[str]:
    return [played.step.name for played in transcript if "error" in (played.seen or {}) and not _refused_here(played)]


def _refused_here(played: Played) -> bool:
    """Reports whether tokend rejects a step itself: because of its limits, or of a pool that is not configured."""
    return played.expected.get("error") == "VALIDATION_FAILED" or (
        played.step.request.get("IdentityPoolId") == "${unknown pool}"
    )


def test_calls_that_tokend_rejects_do_not_reach_cognito(runs: Callable[[str], Run]) -> None:
    pools = Counter(arrived.body["IdentityPoolId"] for arrived in runs("cognito").arrived)
    assert pools.keys() == {POOL, OTHER_POOL}
    assert pools[OTHER_POOL] == 1
    refused_here = [played for played in runs("cognito").transcript if _refused_here(played)]
    assert refused_here
    assert [played.step.name for played in refused_here if "aws_request_id" in (played.seen or {})] == []


def test_a_step_is_one_request_to_cognito(runs: Callable[[str], Run]) -> None:
    played = [played for played in runs("cognito").transcript if played.seen is not None and not _refused_here(played)]
    calls = Counter(each.step.operation for each in played if each.step.operation != CREATE_GUEST)
    assert Counter(arrived.operation for arrived in runs("cognito").arrived) == calls


def test_token_reuse_saves_token_requests_and_no_others(runs: Callable[[str], Run]) -> None:
    asked, spared = (
        Counter(arrived.operation for arrived in runs(place).arrived)
        for place in ("cognito", "cognito, reusing tokens")
    )
    tokens = "GetOpenIdTokenForDeveloperIdentity"
    assert spared[tokens] < asked[tokens]
    assert spared.total() - spared[tokens] == asked.total() - asked[tokens]


#: Metrics that the engines share.
SHARED_METRICS = (
    "grpc_server_started",
    "grpc_server_handled",
    "grpc_server_handling_seconds",
    "tokend_tokens_issued",
    "tokend_engine_seconds",
    "tokend_engine_failures",
)


@pytest.mark.parametrize("place", COGNITO)
@pytest.mark.parametrize("metric", SHARED_METRICS)
def test_the_engines_are_counted_alike(runs: Callable[[str], Run], place: str, metric: str) -> None:
    local = _samples(runs("local").metrics, metric, "local")
    assert local
    assert _samples(runs(place).metrics, metric, "cognito") == local


def test_cognito_counts_no_outcome_except_merged(runs: Callable[[str], Run]) -> None:
    local, cognito = (_samples(runs(engine).metrics, "tokend_identities", engine) for engine in ("local", "cognito"))
    assert local.keys() == cognito.keys()
    counted = {key: count for key, count in cognito.items() if count}
    assert counted == {key: local[key] for key in counted}
    assert {dict(labels)["outcome"] for _, labels in counted} == {"merged"}


def _samples(metrics: str, family: str, engine: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Returns the counts of a family by name and labels, without the engine's label, which must be the given one."""
    families = {each.name: each for each in text_string_to_metric_families(metrics)}
    counts = {}
    for sample in families[family].samples:
        labels = dict(sample.labels)
        assert labels.pop("engine", engine) == engine
        if not sample.name.endswith(("_sum", "_bucket", "_created")):
            counts[sample.name, tuple(sorted(labels.items()))] = sample.value
    return counts


def test_a_change_of_any_expected_value_is_detected(runs: Callable[[str], Run]) -> None:
    for played in runs("local").transcript:
        if played.seen is None:
            continue
        for changed in _changed(played.expected):
            assert differences(changed, played.seen), (played.step.name, changed)


def _changed(expected: Json) -> Iterator[Json]:
    """Yields the expectation with one of its parts changed, once for every part."""
    if isinstance(expected, dict) and "of" in expected:
        yield {**expected, "of": [*expected["of"], "one more"], "some": expected.get("some", len(expected["of"])) + 1}
    elif isinstance(expected, dict):
        for name, value in expected.items():
            if name in {"in", "maybe"}:
                yield {name: ["changed"]}
                continue
            for changed in _changed(value):
                yield {**expected, name: changed}
    elif isinstance(expected, list):
        yield [*expected, "one more"]
        for index, value in enumerate(expected):
            for changed in _changed(value):
                yield [*expected[:index], changed, *expected[index + 1 :]]
    else:
        yield f"{expected} changed"
