"""Checks of the numbers that callers pass to constructors."""


def check_positive(value: float, name: str) -> None:
    """Checks that a number is positive.

    Raises:
        ValueError: It is zero, negative or NaN.
    """
    if not value > 0:
        raise ValueError(f"{name} must be positive: {value}")
