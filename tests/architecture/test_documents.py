"""What the documents say is what the code does."""

import re
from pathlib import Path

import grpc
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from tokend.v1.error_reason_pb2 import ErrorReason
from tokend_server.cli.check_config import check_config
from tokend_server.config import environment_variables
from tokend_server.errors import TokendError
from tokend_server.metrics import Metrics
from tokend_server.rpc.status import STATUS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows_after(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of README.md, without its head."""
    section = README.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.group().splitlines()[2:]]


def test_the_configuration_reference_is_the_code() -> None:
    reference = CliRunner().invoke(check_config, ["--reference"]).output
    assert reference in README


def test_every_setting_has_its_variable() -> None:
    settings = [row[0].strip("`") for row in rows_after("### Settings")]
    scalars = {setting for setting in settings if '"' not in setting} | {"policy", "pools"}
    assert {".".join(filter(None, place)) for place in environment_variables().values()} == scalars


def test_the_error_table_is_the_code() -> None:
    documented = {row[1].strip("`"): row[0].strip("`") for row in rows_after("## Errors")}
    expected = {error.reason or "none": row.code.name for error, row in STATUS.items()}
    assert documented == expected | {"INTERNAL": grpc.StatusCode.INTERNAL.name}


def test_every_reason_is_documented() -> None:
    documented = {row[1].strip("`") for row in rows_after("## Errors")} - {"none"}
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - an enum wrapper
    assert documented == reasons - {"UNSPECIFIED"}


def test_the_metrics_table_is_the_code() -> None:
    documented = {row[0].strip("`") for row in rows_after("## Metrics")}
    registry = Metrics(CollectorRegistry()).registry
    exported = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    assert documented == exported


def test_every_error_belongs_to_the_drawn_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", (ROOT / "server/tokend_server/errors.py").read_text(encoding="utf-8")))
    assert {error.__name__ for error in STATUS} == drawn
    assert all(issubclass(error, TokendError) for error in STATUS)


def test_the_benchmark_table_is_the_last_run() -> None:
    results = (ROOT / "tests/bench/RESULTS.md").read_text(encoding="utf-8")
    assert results.strip() in README
