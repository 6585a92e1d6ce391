"""How a command ends other than well."""

from typing import Self

from tokend_client.tokendctl.exit_codes import ExitCode


class InvalidInput(ValueError):
    """Raised when an option, a file or a document cannot be read as what it has to be.

    The problems name options, members and map keys, never a value: a value may be a login.

    Attributes:
        problems: One text for each thing that is wrong.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    def within(self, place: str) -> Self:
        """The same problems, each with the place where it was found."""
        return type(self)(*(f"{place}: {problem}" for problem in self.problems))


class CommandFailed(Exception):
    """Raised when a command that can be read does not succeed.

    Attributes:
        text: What to tell the user, without login values and tokens.
        exit_code: How the process ends.
    """

    def __init__(self, text: str, exit_code: ExitCode) -> None:
        super().__init__(text)
        self.text = text
        self.exit_code = exit_code
