"""The failures of commands."""

from typing import Self

from tokend_client.tokendctl.exit_codes import ExitCode


class InvalidInput(ValueError):
    """Raised if an option, a file or a document cannot be parsed.

    The problems contain options, members and map keys, but no values: a value may be a login.

    Attributes:
        problems: A text for each problem.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    def within(self, place: str) -> Self:
        """Returns the same problems, each with its location."""
        return type(self)(*(f"{place}: {problem}" for problem in self.problems))


class CommandFailed(Exception):
    """Raised if a valid command fails.

    Attributes:
        text: The message for the user, without login values and tokens.
        exit_code: The exit code of the process.
    """

    def __init__(self, text: str, exit_code: ExitCode) -> None:
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code
