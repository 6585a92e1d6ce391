"""Why a token was not verified."""


class NotVerified(Exception):
    """Raised when a token is not verified. The text contains nothing of the token, and may be sent to the caller."""


class TokenRejected(NotVerified):
    """The token is not valid: the caller needs another one."""


class KeysUnavailable(NotVerified):
    """The issuer's keys are not available at the moment: the token may be valid, and the caller may retry."""
