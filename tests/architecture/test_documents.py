"""What the documents say is what the code does."""

import re
from pathlib import Path
from typing import get_args

import grpc
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from tokend.v1.error_reason_pb2 import ErrorReason
from tokend_server.cli.check_config import check_config
from tokend_server.config import environment_variables
from tokend_server.config.listeners import Authenticator
from tokend_server.errors import TokendError
from tokend_server.metrics import Metrics
from tokend_server.rpc.status import STATUS

ROOT = Path(__file__).parents[2]


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def first_table(page: str) -> list[list[str]]:
    """The cells of the first table of a page, without its head."""
    table = re.search(r"(?:^\|.*\n)+", text(page), re.MULTILINE)
    assert table, page
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.group().splitlines()[2:]]


def test_the_configuration_reference_is_the_code() -> None:
    reference = CliRunner().invoke(check_config, ["--reference"]).output
    assert reference in text("server/configuration.md")


def test_every_setting_has_its_variable() -> None:
    settings = [row[0].strip("`") for row in first_table("server/configuration.md")]
    scalars = {setting for setting in settings if '"' not in setting} | {"policy", "pools"}
    assert {".".join(filter(None, place)) for place in environment_variables().values()} == scalars


def test_the_error_table_is_the_code() -> None:
    documented = {row[1].strip("`"): row[0].strip("`") for row in first_table("server/errors.md")}
    expected = {error.reason or "none": row.code.name for error, row in STATUS.items()}
    assert documented == expected | {"INTERNAL": grpc.StatusCode.INTERNAL.name}


def test_every_reason_is_documented() -> None:
    documented = {row[1].strip("`") for row in first_table("server/errors.md")} - {"none"}
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - an enum wrapper
    assert documented == reasons - {"UNSPECIFIED"}


def test_the_metrics_table_is_the_code() -> None:
    documented = {row[0].strip("`") for row in first_table("server/metrics.md")}
    registry = Metrics(CollectorRegistry()).registry
    exported = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    assert documented == exported


def test_every_authenticator_is_described() -> None:
    table = text("server/SECURITY.md").split("\n## Who calls\n")[1].split("\n### ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == {*get_args(Authenticator)}


def test_every_error_belongs_to_the_drawn_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", text("server/tokend_server/errors.py")))
    assert {error.__name__ for error in STATUS} == drawn
    assert all(issubclass(error, TokendError) for error in STATUS)


@pytest.mark.parametrize("results", ["RESULTS", "GROWTH", "PEERS"])
def test_the_benchmark_table_is_the_last_run(results: str) -> None:
    assert text(f"tests/bench/{results}.md").strip() in text("README.md")


PAGES = sorted(
    str(page.relative_to(ROOT))
    for pattern in ("*.md", ".github/*.md", "clients/**/*.md", "server/**/*.md", "tests/**/*.md")
    for page in ROOT.glob(pattern)
    if not {".venv", "node_modules", "target"} & set(page.parts)
)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    broken = []
    for link in re.findall(
        r"\]\((?!https?:|mailto:)([^)\s]+)\)", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL)
    ):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
