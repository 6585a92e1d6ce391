"""What a person at the command line can get wrong."""

from typing import Self


class InvalidInput(ValueError):
    """Raised when an option, a file or a JSON document cannot be read as what it has to be.

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
