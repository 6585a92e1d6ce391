"""Rotates the TLS files of a server under load: `python -m tests.rotations [--times N]`.

Exits with 1 if the server ends, a call fails or the server grows.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.access.site import Site
from tests.rotations.run import Outcome, ServerLost, rotate

_TIMES = 20_000
_REPORT_EVERY = 500

#: How much a server may be larger in the end, in MiB, threads and descriptors; connections come and go.
_GROWTH = (64.0, 16, 64)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rotations")
    parser.add_argument("--times", type=int, default=_TIMES, help="rotations; default %(default)s")
    times = parser.parse_args().times
    began, outcome = time.monotonic(), None
    with tempfile.TemporaryDirectory() as directory:
        try:
            for outcome in rotate(Site(Path(directory)), times):
                if outcome.rotations % _REPORT_EVERY == 0 or outcome.rotations == times:
                    print(_line(outcome, time.monotonic() - began), flush=True)  # noqa: T201 - what it is for
        except ServerLost as lost:
            print(lost)  # noqa: T201 - as above
            return 1
    return 1 if outcome is None or outcome.failures or _has_grown(outcome) else 0


def _line(outcome: Outcome, seconds: float) -> str:
    return (
        f"{outcome.rotations} rotations in {seconds:.0f} s, {len(outcome.failures)} failed calls "
        f"{sorted(set(outcome.failures))[:3]}, from {outcome.warm} to {outcome.end}"
    )


def _has_grown(outcome: Outcome) -> bool:
    warm, end = outcome.warm, outcome.end
    growth = (
        end.resident_mebibytes - warm.resident_mebibytes,
        end.threads - warm.threads,
        end.descriptors - warm.descriptors,
    )
    return any(more > most for more, most in zip(growth, _GROWTH, strict=True))


if __name__ == "__main__":
    raise SystemExit(main())
