"""Fuzzes: `python -m tests.fuzz [--target NAME] [--runs N | --seconds S] [--seed N]`.

An input that makes a target fail is minimized, printed, and stored in `corpus`: from then on every test run replays it.
"""

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable

from tests.fuzz.fuzzing import Failed, Fuzz, inputs_of, keep
from tests.fuzz.targets import TARGETS

_RUNS = 20_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--target", choices=TARGETS, action="append", help="may be repeated; default all")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--runs", type=int, default=_RUNS, help="inputs for each target; default %(default)s")
    amount.add_argument("--seconds", type=float, help="time for each target")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="makes the same inputs again")
    arguments = parser.parse_args()
    exit_code = 0
    for target in arguments.target or TARGETS:
        exit_code |= _fuzz(target, arguments.seed, _enough(arguments.runs, arguments.seconds))
    return exit_code


def _enough(runs: int, seconds: float | None) -> Callable[[int], bool]:
    if seconds is None:
        return lambda count: count >= runs
    end = time.monotonic() + seconds
    return lambda _count: time.monotonic() >= end


def _fuzz(target: str, seed: int, enough: Callable[[int], bool]) -> int:
    """Fuzzes one target, prints the results, and returns the exit code."""
    began = time.monotonic()
    try:
        with Fuzz(target) as fuzz:
            for data in inputs_of(seed):
                if enough(fuzz.count):
                    break
                fuzz.feed(data)
    except Failed as failed:
        traceback.print_exception(failed.__cause__)
        _tell(f"{target}, seed {seed}, input {fuzz.count}: {failed.given}\nkept in {keep(target, failed.given)}")
        return 1
    _tell(f"{target}, seed {seed}: {fuzz.count} inputs in {time.monotonic() - began:.0f} s")
    return 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
