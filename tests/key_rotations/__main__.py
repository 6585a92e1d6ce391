"""`uv run poe key-rotations`: checks that verifiers accept all tokens of servers whose keys rotate.

Three servers with clocks two minutes apart, six rotations under load, with Envoy, go-oidc, Nimbus and PyJWT.
"""

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.key_rotations.run import Outcome, rotate
from tests.key_rotations.scale import SHORT, TWO_MINUTES_APART

_REPORT_EVERY = 30


def main() -> int:
    """Runs it and prints the reports; returns 1 if a token was rejected."""
    parser = ArgumentParser(prog="poe key-rotations", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="how often all is done (default: %(default)s)")
    parser.add_argument("--rotations", type=int, default=6, help="of each run (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="with clocks seconds apart, as in the tests")
    options = parser.parse_args()
    scale, refused = SHORT if options.short else TWO_MINUTES_APART, 0
    for number in range(options.runs):
        began, outcome = time.monotonic(), Outcome()
        with TemporaryDirectory() as directory:
            run = rotate(Path(directory), scale, rotations=options.rotations, removals=2, seed=number)
            for count, outcome in enumerate(run, 1):
                if count % _REPORT_EVERY == 0:
                    print(f"  {outcome.line()}", flush=True)  # noqa: T201 - the report
        print(f"run {number + 1}, {time.monotonic() - began:.0f} s: {outcome.line()}", flush=True)  # noqa: T201 - the report
        refused += len(outcome.refusals)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
