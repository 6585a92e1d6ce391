"""The commands against AWS's own description of its service in botocore."""

from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.utils import ArgumentGenerator

from tokend_client.errors import ErrorReason
from tokend_client.tokendctl.failure import EXCEPTIONS
from tokend_client.tokendctl.kinds import Integer, Kind, String, StringMap
from tokend_client.tokendctl.operations import Operation, operations
from tokend_client.tokendctl.skeleton import input_skeleton, output_skeleton


@pytest.fixture(scope="module")
def aws() -> dict[str, Any]:
    model = ServiceModel(Loader().load_service_model("cognito-identity", "service-2"))
    return {name: model.operation_model(name) for name in model.operation_names}


def kind(shape: Any) -> Kind:  # noqa: ANN401 - botocore has no types
    """Returns the kind of a shape, with its limits."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name == "map":
        key, value = kind(shape.key), kind(shape.value)
        assert isinstance(key, String)
        assert isinstance(value, String)
        return StringMap(key, value, most)
    if shape.type_name == "string":
        return String(least, most)
    return Integer({"integer": 32, "long": 64}[shape.type_name], least, most)


@pytest.fixture(params=operations(), ids=lambda operation: operation.command)
def operation(request: pytest.FixtureRequest) -> Operation:
    found: Operation = request.param
    return found


def test_members_have_names_types_limits_and_order_of_aws(operation: Operation, aws: dict[str, Any]) -> None:
    shape = aws[operation.name].input_shape
    assert operation.command == xform_name(operation.name, "-")
    assert [(member.name, member.option, member.kind) for member in operation.members] == [
        (name, f"--{xform_name(name, '-')}", kind(member)) for name, member in shape.members.items()
    ]


def test_required_members_are_those_of_aws(operation: Operation, aws: dict[str, Any]) -> None:
    required = {member.name for member in operation.members if member.required}
    assert required == set(aws[operation.name].input_shape.required_members)


def test_the_skeleton_is_that_of_aws(operation: Operation, aws: dict[str, Any]) -> None:
    expected = ArgumentGenerator().generate_skeleton(aws[operation.name].input_shape)
    assert list(input_skeleton(operation).items()) == list(expected.items())


def test_the_sample_output_is_that_of_aws(operation: Operation, aws: dict[str, Any]) -> None:
    shape = aws[operation.name].output_shape
    expected = ArgumentGenerator(use_member_names=True).generate_skeleton(shape) if shape else {}
    assert list(output_skeleton(operation).items()) == list(expected.items())


def test_every_reason_has_an_exception_and_every_exception_of_aws_a_reason(aws: dict[str, Any]) -> None:
    assert set(EXCEPTIONS) == set(ErrorReason)
    ours = {operation.name for operation in operations()}
    exceptions = {shape.name for name, model in aws.items() if name in ours for shape in model.error_shapes}
    assert exceptions <= set(EXCEPTIONS.values())
