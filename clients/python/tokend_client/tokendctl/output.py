"""The output formats of the AWS CLI."""

import json
from collections.abc import Callable, Mapping
from io import StringIO
from types import MappingProxyType
from typing import TypeAlias

from ruamel.yaml import YAML

from tokend_client.tokendctl.table import render_table
from tokend_client.tokendctl.text import render_text

#: Renders the output of an operation with the given name in AWS's API, or the result of a query on it.
Format: TypeAlias = Callable[[str, object], str]


def _json(_title: str, value: object) -> str:
    return "" if value == {} else json.dumps(value, indent=4, ensure_ascii=False) + "\n"


def _yaml(_title: str, value: object) -> str:
    if value == {}:
        return ""
    if not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False) + "\n"  # YAML would append "..."
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _yaml_stream(title: str, value: object) -> str:
    return "" if value == {} else _yaml(title, [value])


#: By the values of --output.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "json": _json,
        "text": lambda _title, value: render_text(value),
        "table": render_table,
        "yaml": _yaml,
        "yaml-stream": _yaml_stream,
    }
)
