"""JMESPath queries over the output."""

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from tokend_client.tokendctl import paramfile
from tokend_client.tokendctl.errors import CommandFailed, InvalidInput
from tokend_client.tokendctl.exit_codes import ExitCode


class Query:
    """A compiled query.

    Args:
        expression: The query, or what refers to a file with it.

    Raises:
        InvalidInput: It is not JMESPath.
    """

    def __init__(self, expression: str) -> None:
        try:
            self._compiled = jmespath.compile(paramfile.load(expression))
        except JMESPathError as error:
            raise InvalidInput(f"not a JMESPath expression: {error}") from None

    def search(self, document: object) -> Any:  # noqa: ANN401 - any JSON value
        """What the query selects.

        Raises:
            CommandFailed: The query calls a function that does not exist, or with a value of the wrong type.
        """
        try:
            return self._compiled.search(document)
        except JMESPathTypeError as error:  # its own text repeats the value, which may be a token
            problem = f"{error.function_name}() does not take a value of type {error.actual_type}"
        except JMESPathError as error:
            problem = str(error)
        raise CommandFailed(f"--query: {problem}", ExitCode.OTHER)
