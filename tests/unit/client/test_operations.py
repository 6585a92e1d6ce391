"""The commands against AWS's own description of its service, which botocore carries."""

from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.utils import ArgumentGenerator

from tokend_client.tokendctl import cli_input
from tokend_client.tokendctl.kinds import Integer, Kind, String, StringMap
from tokend_client.tokendctl.operations import Operation, operations

TYPES: dict[str, Kind] = {"string": String(), "integer": Integer(32), "long": Integer(64), "map": StringMap()}


@pytest.fixture(scope="module")
def aws() -> dict[str, Any]:
    model = ServiceModel(Loader().load_service_model("cognito-identity", "service-2"))
    return {xform_name(name, "-"): model.operation_model(name).input_shape for name in model.operation_names}


@pytest.fixture(params=operations(), ids=lambda operation: operation.command)
def operation(request: pytest.FixtureRequest) -> Operation:
    found: Operation = request.param
    return found


def test_members_have_names_types_and_order_of_aws(operation: Operation, aws: dict[str, Any]) -> None:
    shape = aws[operation.command]
    assert [(member.name, member.option, member.kind) for member in operation.members] == [
        (name, f"--{xform_name(name, '-')}", TYPES[member.type_name]) for name, member in shape.members.items()
    ]


def test_required_members_are_those_of_aws(operation: Operation, aws: dict[str, Any]) -> None:
    required = {member.name for member in operation.members if member.required}
    assert required == set(aws[operation.command].required_members)


def test_the_skeleton_is_that_of_aws(operation: Operation, aws: dict[str, Any]) -> None:
    expected = ArgumentGenerator().generate_skeleton(aws[operation.command])
    assert list(cli_input.skeleton(operation.members).items()) == list(expected.items())
