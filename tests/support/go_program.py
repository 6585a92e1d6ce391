"""Programs in Go that tests run."""

from pathlib import Path

from tests.clients.toolchains import need, run


def go_program(program: Path, source: Path, what: str, package: str = ".") -> Path:
    """Builds a program, and returns its path.

    Uses `go run`, which caches the linked program, also for later runs of the tests: `go build` links each time.

    Args:
        program: The path of the program.
        source: The directory of its module.
        what: The name of the tests that are skipped without Go.
        package: Its main package.
    """
    run([need("go", what), "run", "-exec", "cp", package, str(program)], source)
    return program
