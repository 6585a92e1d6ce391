"""That the configuration cannot be used, whichever part of the service finds it."""


class ConfigError(Exception):
    """Raised when the configuration cannot be used.

    Attributes:
        problems: Each problem, as `setting: what is wrong`.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
