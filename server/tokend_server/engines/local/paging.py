"""Pages of an identity's developer users, and their page tokens."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from operator import itemgetter

from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.engines.local.store import login_key
from tokend_server.model import Identity, Login, Secret

#: The length of the digest that binds a page token to its scope.
_CHECK_BYTES = 16

#: They replace the + and / of base64. With the - of base64url, CLIs would parse one token of 64 as an option.
_ALTERNATIVES = b"._"


def page_of_users(
    identity: Identity, users: Iterable[Login], max_results: int, next_token: str | None
) -> tuple[tuple[Secret, ...], str | None]:
    """Returns the users of the page after `next_token`.

    Users are sorted by login key, and a page token contains such a key: it does not disclose a user, and it stays valid
    when users are linked or unlinked between two pages. It is valid only for the identity of its page.

    Args:
        identity: The identity.
        users: All its users.
        max_results: The maximum number of users.
        next_token: The token from the previous page; None for the first page.

    Returns:
        The identifiers of the users, and the token of the next page if there is one.

    Raises:
        InvalidParameter: `next_token` was not issued for this identity.
    """
    scope = (identity.identity_pool_id, identity.identity_id)
    after = b"" if next_token is None else parse_page_token(next_token, *scope)
    keyed = sorted(((login_key(identity.identity_pool_id, user), user) for user in users), key=itemgetter(0))
    rest = [(key, user) for key, user in keyed if key > after]
    page, more = rest[:max_results], rest[max_results:]
    return tuple(user.user_identifier for _, user in page), page_token(page[-1][0], *scope) if more else None


def page_token(last: bytes, *scope: str) -> str:
    """Returns the token of the page after `last`.

    Args:
        last: The key of the last item of the previous page.
        scope: The list, without white space: a token is valid only for its list.
    """
    return base64.b64encode(last + _checksum(last, scope), _ALTERNATIVES).decode()


def parse_page_token(next_token: str, *scope: str) -> bytes:
    """Returns the key after which a page starts.

    Raises:
        InvalidParameter: The token was not issued for this scope.
    """
    try:
        decoded = base64.b64decode(next_token.encode("ascii"), _ALTERNATIVES, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        decoded = b""
    last, check = decoded[:-_CHECK_BYTES], decoded[-_CHECK_BYTES:]
    if check != _checksum(last, scope):
        raise refusal(Situation.FOREIGN_NEXT_TOKEN, "")
    return last


def _checksum(last: bytes, scope: Sequence[str]) -> bytes:
    """Returns a digest that binds a token to its scope; a caller who forges a token can only skip items."""
    return hashlib.sha256("".join(f"{part} " for part in scope).encode() + last).digest()[:_CHECK_BYTES]
