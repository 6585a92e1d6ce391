"""A short deterministic run of `poe fuzz`, and all stored inputs."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from tests.fuzz.fuzzing import Fuzz, fresh_service, inputs_of, kept, replay
from tests.fuzz.service import Service
from tests.fuzz.targets import TARGETS

#: Inputs for a target: some two seconds each.
RUNS = {"forwarded": 20_000, "secret-streams": 1000}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with fresh_service() as running:
        yield running


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_makes_a_target_fail(target: str) -> None:
    with Fuzz(target) as fuzz:
        for data in islice(inputs_of(seed=5), RUNS.get(target, 2500)):
            fuzz.feed(data)


@pytest.mark.parametrize(("target", "path"), [pytest.param(*each, id=f"{each[0]}-{each[1].stem}") for each in kept()])
def test_stored_inputs_do_not_fail(service: Service, target: str, path: Path) -> None:
    replay(service, target, path)
