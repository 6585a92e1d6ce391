"""The program runs and detects faults; its real purpose takes thousands of rotations."""

from pathlib import Path

from tests.access.site import Site
from tests.rotations.run import rotate


def test_calls_succeed_during_tls_file_rotations(tmp_path: Path) -> None:
    outcomes = list(rotate(Site(tmp_path), 12))
    assert [outcome.rotations for outcome in outcomes] == list(range(1, 13))
    assert outcomes[-1].failures == []
