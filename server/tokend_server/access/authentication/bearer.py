import re

from tokend_server.access.authentication.presented import Presented
from tokend_server.errors import CallerUnauthenticated
from tokend_server.model import Secret

#: `credentials` of RFC 6750, section 2.1; the name of a scheme has no case (RFC 9110, section 11.1).
_CREDENTIALS = re.compile(r"(?i:bearer) ([A-Za-z0-9._~+/-]+=*)")


def bearer_token(presented: Presented) -> Secret | None:
    """The bearer token of a call.

    Returns:
        The token; None where the call has no authorization, one of another scheme, or one that is no token.

    Raises:
        CallerUnauthenticated: The call has several authorizations, and so no one can say which of them counts.
    """
    if len(presented.authorization) > 1:
        raise CallerUnauthenticated("There is more than one authorization header.")
    for value in presented.authorization:
        credentials = _CREDENTIALS.fullmatch(value.reveal())
        if credentials:
            return Secret(credentials[1])
    return None
