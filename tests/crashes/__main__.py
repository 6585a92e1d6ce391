"""`uv run poe crashes`: checks that servers killed during merges and unlinks neither lose nor mix up data."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.crashes.crashes import Report, crash

_TOLD_EVERY = 10


def main() -> int:
    """Runs it and prints the report; 1 on a fault."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=300, help="how many servers are killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all choices (default: %(default)s)")
    options = parser.parse_args()
    report = Report()
    with TemporaryDirectory() as directory:
        for number, report in enumerate(crash(Path(directory), options.times, options.seed), 1):
            if number % _TOLD_EVERY == 0:
                print(report.line(), flush=True)  # noqa: T201 - the report
    print("\n".join([*report.faults, report.line()]))  # noqa: T201 - the report
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
