"""The conformance cases of all clients, played by both Python clients against the real server."""

import json
import os
from pathlib import Path

import pytest
from tests.clients.cases import CASES, Case, load_cases
from tests.clients.conductor import Harness
from tests.clients.python.facades import FACADES, Facade
from tests.clients.python.play import Player


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest) -> Harness:
    """The server in the environment, or one for the module."""
    if "TOKEND_CASES" not in os.environ:
        harness: Harness = request.getfixturevalue("harness")
        return harness
    return Harness(
        os.environ["TOKEND_ENDPOINT"],
        os.environ["TOKEND_SCRIPTED"],
        os.environ["TOKEND_REPLICAS"].split(","),
        os.environ["TOKEND_CONDUCTOR"],
        Path(os.environ["TOKEND_CASES"]),
        os.environ["TOKEND_ISSUER"],
        json.loads(os.environ["TOKEND_VARIABLES"]),
    )


@pytest.mark.parametrize("facade", FACADES, ids=lambda facade: facade.__name__)
@pytest.mark.parametrize("case", load_cases(Path(os.environ.get("TOKEND_CASES", CASES))), ids=lambda case: case.name)
def test_the_client_passes_the_conformance_case(
    case: Case, facade: type[Facade], served: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    Player(case, served, facade).play()
