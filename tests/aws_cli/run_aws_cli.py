"""Runs command lines with the AWS CLI in one process: starting it for each would take most of the time.

A separate program, since awscli replaces the installed botocore with its own. It reads the command
lines from standard input, as a JSON array of arrays of words, and writes a JSON array of the results.
"""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from awscli.clidriver import create_clidriver


def main() -> None:
    # Sessions share the loaded AWS models, which take most of their time.
    loader = create_clidriver().session.get_component("data_loader")
    ended = [_run(words, loader) for words in json.load(sys.stdin)]
    json.dump(ended, sys.stdout)


def _run(words: list[str], loader: Any) -> dict[str, Any]:  # noqa: ANN401 - it has no types
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        driver = create_clidriver()
        driver.session.register_component("data_loader", loader)
        try:
            exit_code = driver.main(words)
        except SystemExit as ended:
            exit_code = ended.code
    return {"stdout": stdout.getvalue(), "stderr": stderr.getvalue(), "exit_code": exit_code}


if __name__ == "__main__":
    main()
