"""`uv run poe soak`: checks that failing calls, over a long time, leave nothing behind."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.soak.soak import soak


def main() -> int:
    """Runs it and prints the report; 1 on a fault."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--connections", type=int, default=8, help="how many clients (default: 8)")
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        report = soak(Path(directory), seconds=60 * options.minutes, connections=options.connections)
    for line in report.lines():
        print(line)  # noqa: T201 - the report
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
