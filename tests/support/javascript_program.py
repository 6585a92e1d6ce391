"""Programs in JavaScript that tests run, with their packages, which are installed once per machine."""

from pathlib import Path

from tests.clients.toolchains import need, run
from tests.support.machine_cache import cached_build


def javascript_program(project: Path, name: str, what: str) -> list[str]:
    """Returns the command that runs a program.

    Args:
        project: The directory of its `package.json`.
        name: The name of its file.
        what: The name of the tests that are skipped without Node.js or npm.
    """
    node, npm = need("node", what), need("npm", what)

    def install(root: Path) -> None:
        run([npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"], root)

    files = sorted(path for path in project.iterdir() if path.is_file())
    root = cached_build("javascript", project, files, install, lambda root: (root / "node_modules").exists())
    return [node, str(root / name)]
