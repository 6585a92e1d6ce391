"""The bearer token of a request (RFC 6750, section 2.1)."""

from collections.abc import Iterable

from tokend_client.verifier.rejections import TokenRejected


class TokenMissing(TokenRejected):
    """The caller sent no token."""

    def __init__(self) -> None:
        super().__init__("the caller has sent no bearer token")


def bearer_token(values: Iterable[str]) -> str:
    """Returns the token in the values of the `authorization` header.

    Raises:
        TokenMissing: There is no value, or one of another scheme.
        TokenRejected: There is more than one value.
    """
    found = list(values)
    if len(found) > 1:
        raise TokenRejected("the caller has sent more than one authorization header")
    scheme, _, token = found[0].partition(" ") if found else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise TokenMissing
    return token.strip()
