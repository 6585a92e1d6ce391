"""A warm call does not grow unnoticed: see `function_calls` for what is counted."""

import subprocess
import sys
from collections.abc import Mapping

import pytest
from tests.bench.function_calls import CHECKED, EXT_AUTHZ, NEW, PLAIN

#: The measured numbers of functions. A change that lowers them lowers the numbers here.
RECORDED: Mapping[str, float] = {PLAIN: 236, NEW: 351, CHECKED: 286, EXT_AUTHZ: 233}

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="other versions of Python inline other functions than 3.11"
)


@pytest.mark.parametrize("case", RECORDED)
def test_a_warm_call_makes_the_recorded_number_of_function_calls(case: str) -> None:
    command = [sys.executable, "-m", "tests.bench.function_calls", case]
    counted = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(counted.stdout) == pytest.approx(RECORDED[case], rel=0.05)
