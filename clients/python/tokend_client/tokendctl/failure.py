"""A failed call, told to a person."""

from tokend_client.errors import TokendError


def describe(error: TokendError) -> str:
    """The code, the reason and the text of a failed call; then its field violations and its request id, if any."""
    lines = [
        str(error),
        *(f"  {violation.field}: {violation.description}" for violation in error.violations),
        *([f"  request id: {error.request_id}"] if error.request_id else []),
    ]
    return "\n".join(lines)
