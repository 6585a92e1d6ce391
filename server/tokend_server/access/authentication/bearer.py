import re

from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.errors import CallerUnauthenticated
from tokend_server.model import Secret

#: `credentials` of RFC 6750, section 2.1; the name of a scheme is case-insensitive (RFC 9110, section 11.1).
_CREDENTIALS = re.compile(r"(?i:bearer) ([A-Za-z0-9._~+/-]+=*)")


def bearer_token(presented: PresentedCredentials) -> Secret | None:
    """Returns the bearer token of a call.

    Returns:
        The token; None if the call has no authorization, or one of another scheme or without a valid token.

    Raises:
        CallerUnauthenticated: The call has several authorizations, so it is ambiguous which one applies.
    """
    if len(presented.authorization) > 1:
        raise CallerUnauthenticated("There is more than one authorization header.")
    for value in presented.authorization:
        credentials = _CREDENTIALS.fullmatch(value.reveal())
        if credentials:
            return Secret(credentials[1])
    return None
