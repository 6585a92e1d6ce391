"""JMESPath queries over the output."""

import json
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError, JMESPathTypeError

from tokend_client.tokendctl import paramfile
from tokend_client.tokendctl.errors import CommandFailed, InvalidInput
from tokend_client.tokendctl.exit_codes import ExitCode


class Query:
    """A compiled query.

    Args:
        expression: The query, or a reference to a file with it.

    Raises:
        InvalidInput: It is not JMESPath.
    """

    def __init__(self, expression: str) -> None:
        try:
            self._compiled = jmespath.compile(paramfile.load(expression))
        except JMESPathError as error:
            raise InvalidInput(f"not a JMESPath expression: {error}") from None
        except RecursionError:
            raise InvalidInput("nested too deeply") from None

    def search(self, document: object) -> Any:  # noqa: ANN401 - any JSON value
        """Returns the result of the query.

        Raises:
            CommandFailed: The query calls an unknown function, or one with a value of the wrong type, or the result is
                not JSON.
        """
        try:
            selected = self._compiled.search(document)
            # No expression references, and no numbers and strings that JSON does not have.
            json.dumps(selected, ensure_ascii=False, allow_nan=False).encode()
        except JMESPathTypeError as error:  # its own text contains the value, which may be a token
            problem = f"{error.function_name}() does not take a value of type {error.actual_type}"
        except JMESPathError as error:
            problem = str(error)
        except Exception:  # noqa: BLE001 - jmespath's functions do not look at all of their arguments
            problem = "it cannot be applied to the output, or the result is not JSON"
        else:
            return selected
        raise CommandFailed(f"--query: {problem}", ExitCode.OTHER)
