"""The scenario file is valid and complete."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.conformance.names import names_in
from tests.conformance.over_grpc import request_message
from tests.conformance.scenario import CREATE_GUEST, SCENARIO, Step, load
from tests.support.grpc_service import METHODS

from tokend_server.engines.local.outcomes import OUTCOMES, Situation

GIVEN = {"pool", "other pool", "provider", "issuer", "run", "unknown identity", "unknown pool"}

#: Situations that need a login that a public provider vouches for.
NEEDS_PUBLIC_LOGIN = {
    Situation.PUBLIC_LOGIN_OF_ANOTHER_IDENTITY,
    Situation.NAMED_IDENTITY_HAS_ONLY_PUBLIC_LOGINS_NOT_PRESENTED,
    Situation.DEVELOPER_USER_AND_PUBLIC_LOGIN_APART,
    Situation.PUBLIC_LOGINS_APART,
    Situation.SECOND_USER_OF_PUBLIC_PROVIDER,
    Situation.MERGE_OF_TWO_USERS_OF_PUBLIC_PROVIDER,
}

#: Situations in operations of users' devices, which are not part of the gRPC contract.
OF_DEVICES = {
    Situation.GUESTS_NOT_ALLOWED,
    Situation.IDENTITY_NEEDS_LOGINS,
    Situation.LOGINS_OF_NO_USE,
    Situation.CLASSIC_FLOW_NOT_ENABLED,
    Situation.PROVIDER_NOT_PUBLIC,
    Situation.NO_PROVIDERS_CONFIGURED,
    Situation.OWN_TOKEN_WITH_OTHER_LOGINS,
}

STEPS = load()


def steps_with(**members: object) -> list[Step]:
    return [step for step in STEPS if all(getattr(step, name) == value for name, value in members.items())]


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(step.name for step in STEPS).items() if count > 1] == []


def test_every_placeholder_is_remembered_before_it_is_used() -> None:
    known = set(GIVEN)
    for step in STEPS:
        assert names_in(step.request) <= known, step.name
        assert known.isdisjoint(step.remember), step.name
        known |= step.remember.keys()
        assert names_in(step.expect) <= known, step.name


def test_remembered_names_are_used() -> None:
    used = set[str]().union(*(names_in(step.request) | names_in(step.expect) for step in STEPS))
    assert {name for step in STEPS for name in step.remember} <= used


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_each_step_is_a_valid_call(step: Step) -> None:
    assert step.operation in {*METHODS, CREATE_GUEST}
    if step.operation != CREATE_GUEST:
        request_message(step.operation, step.request)


def test_the_scenario_has_every_operation_and_every_error_reason() -> None:
    assert {step.operation for step in STEPS} == {*METHODS, CREATE_GUEST}
    assert {step.expect["error"] for step in STEPS if "error" in step.expect} == {
        "VALIDATION_FAILED",
        "INVALID_PARAMETER",
        "NOT_AUTHORIZED",
        "RESOURCE_NOT_FOUND",
        "RESOURCE_CONFLICT",
        "DEVELOPER_USER_ALREADY_REGISTERED",
        "LIMIT_EXCEEDED",
    }


def test_each_question_refers_to_section_7_and_ends_with_a_question_mark() -> None:
    questions = [step.question for step in STEPS if step.question]
    assert {question.section_7 for question in questions} <= set(range(1, 12))
    assert all(question.text.endswith("?") for question in questions)


def test_certainty_is_that_of_the_policy_table() -> None:
    known = {"certain", "likely", "inferred", "unknown"}
    assert {step.certainty for step in STEPS} == known
    for step in STEPS:
        if step.situation:
            assert step.certainty == OUTCOMES[Situation[step.situation]].certainty.name.lower(), step.name


@pytest.mark.parametrize(
    "situation",
    [each for each in Situation if each not in NEEDS_PUBLIC_LOGIN | OF_DEVICES],
    ids=lambda situation: situation.name,
)
def test_every_situation_without_public_logins_has_a_step(situation: Situation) -> None:
    assert steps_with(situation=situation.name)


def test_each_region_has_exactly_one_regional_step() -> None:
    regional = [step for step in STEPS if step.region]
    for region in ("us-east-1", "eu-west-1"):
        assert len([step for step in regional if step.is_for(region)]) == 1


def test_a_member_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenario.json"
    path.write_text('{"errors": {}, "errors": {}}')
    with pytest.raises(ValueError, match="given twice"):
        load(path)


def test_an_expected_error_without_a_description_is_rejected(tmp_path: Path) -> None:
    document = json.loads(SCENARIO.read_text(encoding="utf-8"))
    document["errors"].pop("LIMIT_EXCEEDED")
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(document))
    with pytest.raises(KeyError, match="LIMIT_EXCEEDED"):
        load(path)
