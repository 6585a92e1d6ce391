"""Runs command lines of the AWS CLI 1 in one process: starting it for each would take most of the time.

A separate program, since awscli replaces the installed botocore with its own. For each command line on standard input,
a JSON object with its words and its environment, it writes a line with the JSON of the result.
"""

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from awscli.clidriver import create_clidriver


def main() -> None:
    # Sessions share the loaded AWS models, which take most of their time.
    loader = create_clidriver().session.get_component("data_loader")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(**json.loads(line), loader=loader)) + "\n")
        sys.stdout.flush()


def _run(words: list[str], environment: dict[str, str], loader: Any) -> dict[str, Any]:  # noqa: ANN401 - it has no types
    os.environ.clear()
    os.environ.update(environment)
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        driver = create_clidriver()
        driver.session.register_component("data_loader", loader)
        try:
            exit_code = driver.main(words)
        except SystemExit as ended:
            exit_code = ended.code
    return {"returncode": exit_code, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}


if __name__ == "__main__":
    main()
