"""The output of `--generate-cli-skeleton`: samples of the input and the output of an operation."""

import json
from collections.abc import Mapping
from types import MappingProxyType

from tokend_client.tokendctl.kinds import Value
from tokend_client.tokendctl.operations import Document, Member, Operation

#: The values of the option, and the descriptions of their outputs.
SKELETONS: Mapping[str, str] = MappingProxyType(
    {
        "input": "a sample input for --cli-input-json",
        "yaml-input": "one for --cli-input-yaml, with descriptions of the members",
        "output": "a sample output, after the input was checked",
    }
)


def input_skeleton(operation: Operation) -> dict[str, Value]:
    """Returns AWS's sample input: every member with a value that shows its type."""
    return {member.name: member.kind.sample for member in operation.members}


def output_skeleton(operation: Operation) -> Document:
    """Returns AWS's sample output: every member with its own name as its value."""
    return {output.name: output.sample for output in operation.outputs}


def yaml_input_skeleton(operation: Operation) -> str:
    """Returns the sample input as YAML, with comments."""
    return "".join(f"{line}\n" for member in operation.members for line in _yaml(member))


def _yaml(member: Member) -> list[str]:
    comment = f"  # {'[REQUIRED] ' * member.required}{member.text}"
    sample = member.kind.sample
    if isinstance(sample, dict):
        return [f"{member.name}:{comment}", *(f"  {key}: {json.dumps(value)}" for key, value in sample.items())]
    return [f"{member.name}: {json.dumps(sample)}{comment}"]
