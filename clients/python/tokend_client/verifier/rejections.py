"""Why a token was not verified."""


class NotVerified(Exception):
    """Raised when a token is not verified. Its text holds nothing of the token, and may be sent to the caller."""


class TokenRejected(NotVerified):
    """The token is not good: the caller needs another one."""


class KeysUnavailable(NotVerified):
    """The issuer's keys cannot be had at the moment: the token may be good, and the caller may try again."""
