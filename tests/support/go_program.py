"""Programs in Go that tests run."""

from pathlib import Path

from tests.clients.toolchains import need, run


def go_program(program: Path, source: Path, what: str, package: str = ".") -> Path:
    """Builds a program, and returns its path.

    By `go run`, which keeps what it has linked, also for later runs of the tests: `go build` links each time.

    Args:
        program: Where to put it.
        source: The directory of its module.
        what: What is left out on a machine without Go.
        package: Its main package.
    """
    run([need("go", what), "run", "-exec", "cp", package, str(program)], source)
    return program
